import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { readRelease } from "../../bundle/release.ts";
import { loadTrust, type Trust } from "../../bundle/trust.ts";
import { type VerifiedBundle, verifyBundle } from "../../bundle/verify.ts";
import { formatBytes } from "../plan/space.ts";
import { throwAll } from "../yaml/load.ts";
import type { CommandContext } from "./command.ts";

interface Release {
	readonly folder: string;
	readonly product: string;
	readonly version: string;
	readonly digest: string;
}

/**
 * Verifies bundles in full: signatures, every frame and blob, every name. A folder is a release: its release.dsse.json is
 * verified too, and must name just the bundles that are there. All failures are reported together.
 * Errors: E_USAGE, E_EMPTY, E_RELEASE, E_RELEASE_SET, those of loadTrust(), readRelease() and verifyBundle().
 */
export async function bundleVerify(
	{ print, signal }: CommandContext,
	options: { key?: string; trust?: string },
	paths: string[],
): Promise<void> {
	const given = [options.key, options.trust].filter((file) => file !== undefined);
	if (given.length !== 1) throw new SlipwayError("E_USAGE", "Say whom to trust: --key FILE or --trust FOLDER.");
	const trust = await loadTrust(given[0]!);
	const errors: SlipwayError[] = [];
	const bundles: VerifiedBundle[] = [];
	const releases: Release[] = [];
	const collect = async (work: () => Promise<void>) => {
		await work().catch((error: unknown) => {
			if (!(error instanceof SlipwayError) || error.code === "E_INTERRUPTED") throw error;
			errors.push(error);
		});
	};
	for (const target of paths) {
		const folder = (await stat(target).catch(() => undefined))?.isDirectory() === true;
		const files = folder ? await bundlesIn(target) : [target];
		const found: VerifiedBundle[] = [];
		for (const file of files) await collect(async () => void found.push(await verifyBundle(file, trust, { signal })));
		if (folder)
			await collect(
				async () =>
					void releases.push(await checkRelease(target, trust, found.length === files.length ? found : undefined)),
			);
		bundles.push(...found);
	}
	throwAll(errors);
	print(
		() =>
			[
				...bundles.map(line),
				...releases.map((r) => `${r.folder}: release ${r.product} ${r.version} is complete`),
				"",
			].join("\n"),
		() => ({
			bundles: bundles.map(
				({ path, size, indexDigest, keys, fileKey, development, index: { name, version, arch, fips } }) => ({
					...{ file: path, size, name, version, arch, fips, indexDigest, keys, fileKey, development },
				}),
			),
			releases,
		}),
	);
}

async function bundlesIn(folder: string): Promise<string[]> {
	const names = (await readdir(folder)).filter((name) => name.endsWith(".zst")).sort();
	if (names.length === 0) throw new SlipwayError("E_EMPTY", `There is no bundle in ${folder}.`);
	return names.map((name) => path.join(folder, name));
}

/**
 * The release in a folder is signed, names every bundle there, and every required bundle that it names is there. `bundles` is
 * undefined when one of them is bad: that is told already, and would only look like a missing one.
 */
async function checkRelease(
	folder: string,
	trust: Trust,
	bundles: readonly VerifiedBundle[] | undefined,
): Promise<Release> {
	const file = path.join(folder, "release.dsse.json");
	const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_RELEASE", `${file} cannot be read (${cause.code}).`, { cause });
	});
	const { release, digest } = readRelease(bytes, trust.release);
	const result = { folder, product: release.product, version: release.version, digest };
	if (bundles === undefined) return result;
	const named = new Set(release.bundles.map((bundle) => bundle.indexDigest));
	const there = new Set(bundles.map((bundle) => bundle.indexDigest));
	const extra = bundles.filter((bundle) => !named.has(bundle.indexDigest)).map((bundle) => path.basename(bundle.path));
	const missing = release.bundles
		.filter((bundle) => bundle.required && !there.has(bundle.indexDigest))
		.map((b) => b.name);
	if (extra.length > 0) throw new SlipwayError("E_RELEASE_SET", `${file} does not name ${extra.join(", ")}.`);
	if (missing.length > 0)
		throw new SlipwayError("E_RELEASE_SET", `${file} names ${missing.join(", ")}, not verified in ${folder}.`);
	return result;
}

function line({ path: file, size, indexDigest, development }: VerifiedBundle): string {
	return `${file}: verified, ${formatBytes(size)}, index digest ${indexDigest}${development ? ", DEVELOPMENT KEY" : ""}`;
}
