import { randomUUID } from "node:crypto";
import { copyFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { ContentRelease } from "../../bundle/index-schema.ts";
import { makeRelease } from "../../bundle/release.ts";
import { StageCache } from "../plan/cache.ts";
import { publish } from "../plan/publish.ts";
import { type BuiltBundle, type BundleRequest, buildBundle } from "./build-bundle.ts";

const VERIFY_SCRIPT = path.resolve(import.meta.dirname, "../release/verify.sh");

export interface ReleaseSet {
	readonly folder: string;
	readonly bundle: BuiltBundle;
}

/**
 * Builds a bundle with everything that a box or a reviewer needs beside it: its signature, a content release that names only
 * it, the public key, and verify.sh. The folder `<distDir>/bundles/<name>-<version>-<arch>[-fips]` appears whole or not at all.
 * Errors: those of buildBundle() and publish().
 */
export async function buildReleaseSet(
	request: Omit<BundleRequest, "outDir">,
	distDir: string,
	signal: AbortSignal,
): Promise<ReleaseSet> {
	const cache = new StageCache(request.cacheDir);
	await cache.sweep();
	const { folder: work, close } = await cache.openWork(randomUUID());
	try {
		const bundle = await buildBundle({ ...request, outDir: work });
		await writeFile(
			path.join(work, "release.dsse.json"),
			await makeRelease(releaseOf(request, bundle), request.signer),
		);
		await writeFile(path.join(work, "public_key.pem"), request.signer.publicKeyPem);
		await copyFile(VERIFY_SCRIPT, path.join(work, "verify.sh"));
		const folder = path.join(distDir, "bundles", path.basename(bundle.path, ".zst"));
		await publish(work, folder, signal);
		const moved = (file: string) => path.join(folder, path.basename(file));
		return { folder, bundle: { ...bundle, path: moved(bundle.path), sigPath: moved(bundle.sigPath) } };
	} finally {
		await close();
	}
}

/** The same form and sequence as a profile's release: a later build has a later one. */
function releaseOf({ epoch }: Pick<BundleRequest, "epoch">, { index, indexDigest }: BuiltBundle): ContentRelease {
	const { name, version, arch, fips, product } = index;
	return {
		format: 1,
		critical: [],
		product,
		version,
		sequence: epoch,
		bundles: [{ name, version, arch, fips, indexDigest, required: true }],
		roots: [],
		releasedAt: index.created,
		audience: "",
		annotations: {},
	};
}
