import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { type Monitor, openMonitor } from "../monitor/monitor.ts";
import { stepCount } from "../packs/build-bundle.ts";
import { type BundleDefinition, loadBundleDefinition } from "../packs/definition.ts";
import { registryAccess } from "../packs/registry/access.ts";
import { buildReleaseSet } from "../packs/release-set.ts";
import { sourceEpoch } from "../plan/epoch.ts";
import { readSecret } from "../plan/secrets.ts";
import { formatBytes } from "../plan/space.ts";
import { loadBase } from "../profile/base.ts";
import { loadProfile } from "../profile/load.ts";
import type { Base } from "../profile/schema.ts";
import { openSigner } from "../signing/open-signer.ts";
import { hostArch } from "../tools/host-arch.ts";
import { run as plainRun, type Run } from "../tools/run.ts";
import { displayPath } from "../yaml/load.ts";
import type { CommandContext } from "./command.ts";

interface Options {
	readonly profile?: string;
	readonly arch?: "amd64" | "arm64";
	readonly fips?: boolean;
	readonly base?: string;
	readonly mirror?: string;
	readonly keyring?: string;
	readonly out: string;
	readonly refresh?: boolean;
	readonly updateLock?: boolean;
}

interface Target {
	readonly arch: "amd64" | "arm64";
	readonly fips: boolean;
	readonly base: Base;
}

/** Builds one bundle into a release set of its own. Errors: those of buildReleaseSet(). */
export async function bundleBuild(
	{ root, print, signal }: CommandContext,
	options: Options,
	[name]: string[],
): Promise<void> {
	const started = performance.now();
	const definition = await loadBundleDefinition(root, name as string);
	const target = await targetOf(root, options);
	const cacheDir = path.join(root, ".cache");
	const epoch = await sourceEpoch(root, process.env);
	const given = (variable: string) => process.env[variable] || undefined;
	const signer = await openSigner({
		root,
		cacheDir,
		signingKey: given("SIGNING_KEY"),
		passphraseFile: given("SIGNING_KEY_PASSPHRASE_FILE"),
	});
	const registry = await registryAccess(process.env);
	const masked = [...registry.secrets];
	const token = await readSecret("proToken", process.env, (text) => masked.push(text));
	const log = await freshLog(cacheDir, definition);
	const run: Run = (file, args, more = {}) =>
		plainRun(file, args, { log, signal, ...more, secrets: [...masked, ...(more.secrets ?? [])] });
	const steps = new Steps(await openMonitor(process.stderr), stepCount(definition));
	const request = {
		...{ root, definition, ...target, epoch, signer, cacheDir, registry, run, signal },
		versionSuffix: signer.development ? `-dev.${epoch}` : "",
		mirror: options.mirror,
		keyring: options.keyring,
		proTokenFile: token?.file,
		refresh: options.refresh === true,
		updateLock: options.updateLock === true,
		onStep: steps.begin,
		onProgress: steps.progress,
	};
	const { folder, bundle } = await buildReleaseSet(request, path.resolve(options.out), signal).catch(
		(error: unknown) => {
			steps.fail();
			throw withLog(error, log);
		},
	);
	const { path: file, size, sha256, index, indexDigest } = bundle;
	const lines = [
		displayPath(file),
		`  ${formatBytes(size)}, ${index.packs.length} packs, index digest ${indexDigest}`,
		...(signer.development ? ["  signed with the development key: not for production"] : []),
		...(target.fips && target.base.fips?.certificate === null
			? [`  ${target.base.title}'s FIPS provider is not certified`]
			: []),
		"",
	];
	print(
		() => lines.join("\n"),
		() => ({
			...{ folder, file, size, sha256, indexDigest },
			...{ name: index.name, version: index.version, arch: index.arch, fips: index.fips, base: target.base.name },
			developmentKey: signer.development,
			seconds: (performance.now() - started) / 1000,
		}),
	);
}

/** For which machine: the profile's, or what the options say. */
async function targetOf(root: string, options: Options): Promise<Target> {
	if (options.profile !== undefined) {
		if (options.arch !== undefined || options.fips !== undefined) {
			throw new SlipwayError(
				"E_USAGE",
				"--profile says which architecture and FIPS mode; leave out --arch and --fips.",
			);
		}
		const { profile, base } = await loadProfile(root, options.profile, { base: options.base });
		return { arch: profile.arch, fips: profile.fips, base };
	}
	if (options.fips === true && options.base === undefined) {
		const message = "--fips needs a base: only some have a FIPS provider, and not each is certified.";
		throw new SlipwayError("E_USAGE", message, { next: "Name one with --base, or a profile with --profile." });
	}
	const host = hostArch();
	const base = await loadBase(root, options.base ?? "debian-13");
	return { arch: options.arch ?? host, fips: options.fips === true, base };
}

async function freshLog(cacheDir: string, definition: BundleDefinition): Promise<string> {
	const file = path.join(cacheDir, "logs", `bundle-${definition.name}.log`);
	await mkdir(path.dirname(file), { recursive: true });
	await rm(file, { force: true });
	return file;
}

/** A program's failure says where the rest of its output is. */
function withLog(error: unknown, log: string): unknown {
	if (!(error instanceof SlipwayError) || error.code !== "E_TOOL_FAILED") return error;
	return new SlipwayError(error.code, error.message, { next: `Read ${displayPath(log)}.`, cause: error });
}

/** Shows the steps of a bundle as the stages of an ISO are shown. */
class Steps {
	readonly #monitor: Monitor;
	readonly #total: number;
	#number = 0;
	#started: number | undefined;

	constructor(monitor: Monitor, total: number) {
		this.#monitor = monitor;
		this.#total = total;
	}

	readonly begin = (name: string, summary: string): ((cached: boolean) => void) => {
		this.#started = performance.now();
		this.#monitor.begin({ name, summary, number: ++this.#number, total: this.#total });
		this.#monitor.progress(0, 0);
		return (cached) => this.#end(cached ? "cached" : "built");
	};

	readonly progress = (done: number, total: number): void => this.#monitor.progress(done, total);

	/** Ends the step that was running, if one was. */
	fail(): void {
		if (this.#started !== undefined) this.#end("failed");
	}

	#end(outcome: "cached" | "built" | "failed"): void {
		this.#monitor.end(outcome, (performance.now() - (this.#started ?? 0)) / 1000);
		this.#started = undefined;
	}
}
