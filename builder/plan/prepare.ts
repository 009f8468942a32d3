import path from "node:path";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { archiveEpoch } from "../archive/answer.ts";
import { bootPackages, checkKernelSigned, proPackages, rootPackages } from "../archive/packages.ts";
import { forWorkshop, keptResolve, type ResolveRequest, resolveArchive } from "../archive/resolve.ts";
import { keyringDigest, mirrorOf } from "../archive/sources.ts";
import { lockedSets } from "../lock/locked-sets.ts";
import { type BundleDefinition, loadBundleDefinition } from "../packs/definition.ts";
import { lockTags } from "../packs/lock-tags.ts";
import { loadProfile } from "../profile/load.ts";
import type { ResolvedProfile } from "../profile/resolve.ts";
import { type Inputs, loadInputs } from "../release/inputs.ts";
import { checkTools } from "../release/tools.ts";
import { openSigner } from "../signing/open-signer.ts";
import { loadOverlay, type OverlayManifest } from "../stages/overlay-manifest.ts";
import { hostArch } from "../tools/host-arch.ts";
import { run } from "../tools/run.ts";
import { openUkiSigner } from "../uki/key.ts";
import { displayPath, throwAll } from "../yaml/load.ts";
import type { Build } from "./build.ts";
import { sourceEpoch } from "./epoch.ts";
import { askerOf, placed } from "./placed.ts";
import { buildTrust } from "./trust.ts";

/** What the command line and the environment say about a build. */
export interface BuildRequest {
	readonly root: string;
	readonly profile: string;
	readonly base?: string | undefined;
	readonly mirror?: string | undefined;
	readonly keyring?: string | undefined;
	/** Id of a snapshot of the archive. */
	readonly snapshot?: string | undefined;
	readonly refresh?: boolean | undefined;
	/** Path of an X.inputs.json. */
	readonly inputs?: string | undefined;
	readonly env: NodeJS.ProcessEnv;
}

/** A profile with everything it names read and checked; no archive was asked. */
export interface Checked extends ResolvedProfile {
	readonly bundles: readonly BundleDefinition[];
	/** In the profile's order. */
	readonly overlays: readonly OverlayManifest[];
	/** Packages that the root image is asked to hold, without their dependencies. */
	readonly packages: readonly string[];
	/** Packages that only a token can fetch. */
	readonly proPackages: readonly string[];
}

/** Reads and checks all of a profile. Errors: those of loadProfile(), of bundle definitions and overlays, all together. */
export async function checkProfile(request: Pick<BuildRequest, "root" | "profile" | "base">): Promise<Checked> {
	const { root } = request;
	const loaded = await loadProfile(root, request.profile, { base: request.base });
	const { profile, base, definitions, origin } = loaded;
	const errors: SlipwayError[] = [];
	// Found now rather than when its release would be signed: a box that serves nothing is never ready.
	if (definitions.length === 0) {
		const at = origin.get("bundles") ?? { file: displayPath(loaded.file), line: 1, col: 1 };
		errors.push(new SlipwayError("E_PROFILE_VALUE", "`bundles` names none; an appliance serves at least one.", { at }));
	}
	const collect = async <T>(all: Promise<T>[]): Promise<T[]> => {
		const settled = await Promise.allSettled(all);
		for (const result of settled) if (result.status === "rejected") errors.push(...slipwayErrors(result.reason));
		return settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
	};
	const bundles = await collect(definitions.map((definition) => loadBundleDefinition(root, definition)));
	const overlays = await collect(profile.overlays.map((name) => loadOverlay(root, name)));
	throwAll(errors);
	const packages = rootPackages(
		base,
		profile,
		overlays.flatMap((overlay) => overlay.packages),
	);
	return { ...loaded, bundles, overlays, packages, proPackages: proPackages(base, profile) };
}

function cacheFolder(root: string): string {
	return path.join(root, ".cache");
}

/** What the archive is asked for a profile's root image. Pure. */
export function archiveRequest(
	{
		root,
		mirror,
		keyring,
		snapshot,
		refresh,
	}: Pick<BuildRequest, "root" | "mirror" | "keyring" | "snapshot" | "refresh">,
	{ profile, base, packages }: Checked,
): ResolveRequest {
	return {
		base,
		arch: profile.arch,
		packages,
		boot: bootPackages(base, profile),
		mirror: mirrorOf(base, mirror, snapshot),
		keyring,
		cacheDir: cacheFolder(root),
		refresh: refresh ?? false,
	};
}

/**
 * Gathers everything that stages may read. Asks the archive unless its answer is kept (or given by `inputs`); `offline` never
 * asks, and gives undefined when the answer is not there yet. Tags of registries are locked likewise.
 */
export async function prepareBuild(
	request: BuildRequest,
	checked: Checked,
	how: { offline: true },
): Promise<Build | undefined>;
export async function prepareBuild(
	request: BuildRequest,
	checked: Checked,
	how: { offline: false; signal: AbortSignal },
): Promise<Build>;
export async function prepareBuild(
	request: BuildRequest,
	checked: Checked,
	how: { offline: true } | { offline: false; signal: AbortSignal },
): Promise<Build | undefined> {
	const { root, env } = request;
	const { profile, base, bundles } = checked;
	const cacheDir = cacheFolder(root);
	const uki = await openUkiSigner(profile, env);
	const inputs = request.inputs === undefined ? undefined : await loadInputs(request.inputs, profile.name, base.name);
	if (inputs !== undefined && !how.offline) await checkTools(inputs.tools, run);
	const ask = archiveRequest(request, checked);
	const { mirror, keyring, refresh } = ask;
	const vouched = () => keyringDigest(base, keyring);
	const answer = (asked: ResolveRequest) =>
		how.offline ? keptResolve(asked) : placed(checked, request, () => resolveArchive({ ...asked, signal: how.signal }));
	const locked = inputs === undefined ? await lockedSets(checked, refresh) : undefined;
	const resolve = inputs?.resolve ?? locked?.root ?? (await answer(ask));
	const host = hostArch();
	const workshop =
		host === profile.arch ? null : (inputs?.workshop ?? locked?.workshop ?? (await answer(forWorkshop(ask, host))));
	if (resolve === undefined || workshop === undefined) return undefined;
	checkKernelSigned(profile.boot, Object.keys(resolve.packages), (name) => askerOf(name, checked).at);
	if (!how.offline) for (const bundle of bundles) await lockTags(bundle, { cacheDir, env, signal: how.signal });
	const signer = await openSigner({
		root,
		cacheDir,
		signingKey: given(env.SIGNING_KEY),
		passphraseFile: given(env.SIGNING_KEY_PASSPHRASE_FILE),
		inputs,
	});
	const epoch = inputs?.epoch ?? (await sourceEpoch(root, env));
	return {
		root,
		cacheDir,
		distDir: path.join(root, "dist"),
		profile,
		base,
		bundles,
		hostArch: host,
		resolve,
		workshop,
		contentPins: inputs?.content ?? locked?.content ?? {},
		lock: locked?.file,
		refresh,
		epoch,
		archiveEpoch: archiveEpoch(resolve),
		signer,
		trust: await buildTrust(profile, signer),
		uki,
		version: versionOf(inputs, profile.version, signer.development, epoch),
		mirror,
		keyring,
		keyringDigest: how.offline ? await vouched().catch(() => null) : await placed(checked, request, vouched),
	};
}

/** Two builds of one version signed with development keys are different versions, or the second would look like a forgery. */
function versionOf(inputs: Inputs | undefined, version: string, development: boolean, epoch: number): string {
	const expected = development ? `${version}-dev.${epoch}` : version;
	if (inputs !== undefined && inputs.version !== expected) {
		throw new SlipwayError("E_INPUTS", `The inputs file is for version ${inputs.version}, this is ${expected}.`);
	}
	return expected;
}

function given(value: string | undefined): string | undefined {
	return value === "" ? undefined : value;
}

function slipwayErrors(reason: unknown): SlipwayError[] {
	if (reason instanceof SlipwayErrors) return [...reason.errors];
	if (reason instanceof SlipwayError) return [reason];
	throw reason;
}
