import { basename, join } from "node:path";
import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import type { ContentRelease, IsoRelease } from "../../bundle/index-schema.ts";
import type { Trust } from "../../bundle/trust.ts";
import { verifyBundle } from "../../bundle/verify.ts";
import type { BundleStatus, State } from "../status/state.ts";
import { bundleFiles, type Candidate, closeCandidates, findCandidates } from "../trust/candidates.ts";
import type { Committed } from "../trust/committed.ts";
import { checkFitness } from "../trust/fitness.ts";
import { checkFiles } from "../trust/medium.ts";
import { checkRoot, readContentRelease, readMediumRelease, type SignedRelease } from "../trust/release.ts";
import type { KernelLine } from "./kernel.ts";

/** The content folder's release and its bundles, open, with everything checked that can be without reading whole bundles. */
export interface ContentSet {
	readonly release: SignedRelease;
	readonly candidates: readonly Candidate[];
}

/**
 * Reads the set, on an appliance with the signed list of the medium it stands on.
 * Errors: those of readContentRelease, checkRoot, readMediumRelease, findCandidates and checkFitness; E_RELEASE when the
 * medium is for another product or kind of machine; E_DIGEST_MISMATCH from the check of the medium.
 */
export async function readContentSet(
	config: ApplianceConfig,
	kernel: KernelLine,
	trust: Trust,
	state: State,
): Promise<ContentSet> {
	const release = await readContentRelease(config.content, trust);
	checkRoot(release.release, kernel.rootId);
	if (kernel.rootId !== null) {
		const medium = await readMediumRelease(config.content, trust, kernel.rootId, release.digest);
		checkTarget(config, release.release, medium);
		state.update({ buildId: medium.buildId });
		if (kernel.checkMedium) await checkMedium(config.content, trust, medium, state);
	}
	const candidates = await findCandidates(config.content, release.release, trust);
	try {
		checkFitness(config, release.release, candidates);
		return { release, candidates };
	} catch (error) {
		await closeCandidates(candidates);
		throw error;
	}
}

/** What the medium's releases say of their target must be what the booted root image says of itself. */
function checkTarget(config: ApplianceConfig, content: ContentRelease, medium: IsoRelease): void {
	const claims: [string, unknown, unknown][] = [
		["content release is for the product", content.product, config.product],
		["ISO release is for the product", medium.product, config.product],
		["ISO release is for the architecture", medium.arch === "any" ? config.arch : medium.arch, config.arch],
		["ISO release has FIPS", medium.fips, config.fips],
	];
	const faults = claims.flatMap(([what, said, own]) =>
		said === own ? [] : [new SlipwayError("E_RELEASE", `The ${what} ${said}; this appliance: ${own}.`)],
	);
	if (faults.length > 0) throw new SlipwayErrors(faults, "The medium is not for this appliance.");
}

/** Reads everything on the medium: the files that the ISO release lists, and every bundle by its own signatures. */
async function checkMedium(content: string, trust: Trust, medium: IsoRelease, state: State): Promise<void> {
	const bundles = await bundleFiles(content);
	const total = medium.files.length + bundles.length;
	const tell = (done: number, bad: readonly string[]) => state.update({ mediumCheck: { done, total, bad: [...bad] } });
	const bad = await checkFiles(join(content, ".."), medium.files, tell);
	for (const [i, file] of bundles.entries()) {
		await verifyBundle(join(content, file), trust).catch(() => bad.push(`${basename(content)}/${file}`));
		tell(medium.files.length + i + 1, bad);
	}
	if (bad.length === 0) return;
	throw new SlipwayError("E_DIGEST_MISMATCH", `The medium is damaged: ${bad.join(", ")}.`, {
		next: "Write the ISO to another medium.",
	});
}

/** Whether what is committed is what the content folder holds. */
export function sameSet(committed: Committed, set: ContentSet): boolean {
	const have = committed.bundles.map((b) => b.indexDigest).sort();
	const want = set.candidates.map((c) => c.indexDigest).sort();
	return committed.release.digest === set.release.digest && have.join() === want.join();
}

/** Puts the release into the state; its bundles that are `present` are in state `to`. */
export function tellRelease(
	state: State,
	{ release, digest }: SignedRelease,
	present: readonly Pick<Candidate, "index" | "indexDigest">[],
	to: BundleStatus["state"],
): void {
	const bundles = release.bundles.map(({ name, version, arch, fips, indexDigest, required }): BundleStatus => {
		const found = present.find((item) => item.indexDigest === indexDigest);
		const names = found?.index.names.map((n) => n.ref) ?? [];
		return { name, version, arch, fips, indexDigest, required, state: found ? to : "absent", names };
	});
	const { version, sequence } = release;
	state.update({ release: { version, sequence, digest }, bundles });
}
