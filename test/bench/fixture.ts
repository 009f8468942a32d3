import { createHash, randomFillSync } from "node:crypto";
import { mkdir, open, rename, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { NameRecord } from "../../bundle/index-schema.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { makeRelease } from "../../bundle/release.ts";
import { type WrittenBundle, writeBundle } from "../../bundle/writer.ts";
import { inputOf, nameOf, packOf, putJson, testSigner } from "../support/bundles.ts";

const CHUNK = 4 * 2 ** 20;
const IMAGES = 20;
/** Layers have this size whatever the bundle's: what is pulled first must not depend on it. */
const LAYER = 21 * 2 ** 20;

export interface BenchContent {
	/** Folder with the bundle, its signature and the release that names it. */
	readonly content: string;
	readonly bundle: WrittenBundle;
	readonly names: readonly NameRecord[];
	readonly publicKey: string;
}

/**
 * Makes a content folder under `dir`: one signed bundle of `bytes` of gzip layers in 20 images, by the project's own writer.
 * `random` layers are random all through; else only their first piece is, and the rest are zeros that take no disk until they
 * are in the bundle, where they are stored as they are, like any layer that is compressed already.
 */
export async function makeBenchContent(dir: string, bytes: number, random = true): Promise<BenchContent> {
	const blobDir = join(dir, "blobs");
	const content = join(dir, "content");
	await needSpace(dir, bytes * (random ? 2 : 1));
	await mkdir(join(blobDir, "sha256"), { recursive: true });
	await mkdir(content, { recursive: true });
	const signer = testSigner();
	const layers = Math.round(bytes / IMAGES / LAYER);
	const names: NameRecord[] = [];
	for (let image = 0; image < IMAGES; image++) names.push(await putImage(blobDir, image, layers, random));
	const input = inputOf(blobDir, [packOf("bench", names, { arch: "any" })], { arch: "any" });
	const bundle = await writeBundle(input, join(content, "bench-1.0.0-any.zst"), signer);
	await rm(blobDir, { recursive: true });
	const { name, version, arch, fips } = bundle.index;
	const release = {
		...{ format: 1 as const, critical: [], product: "slipway", version, sequence: 1, roots: [], audience: "bench" },
		bundles: [{ name, version, arch, fips, indexDigest: bundle.indexDigest, required: true }],
		...{ releasedAt: "2026-01-02T03:04:05Z", annotations: {} },
	};
	await writeFile(join(content, "release.dsse.json"), await makeRelease(release, signer));
	const publicKey = join(dir, "public_key.pem");
	await writeFile(publicKey, signer.publicKeyPem);
	return { content, bundle, names, publicKey };
}

async function putImage(blobDir: string, image: number, count: number, random: boolean): Promise<NameRecord> {
	const layers = [];
	for (let layer = 0; layer < count; layer++) layers.push(await putLayer(blobDir, LAYER, random));
	const rootfs = { type: "layers", diff_ids: layers.map((l) => l.digest) };
	const config = await putJson(blobDir, { architecture: "amd64", os: "linux", rootfs }, MEDIA_TYPE.ociConfig);
	const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers };
	const blob = await putJson(blobDir, manifest, MEDIA_TYPE.ociManifest);
	return { ...nameOf(`bench.local/random/image-${image}:1`, blob), platforms: ["linux/amd64"] };
}

async function putLayer(blobDir: string, size: number, random: boolean) {
	const hash = createHash("sha256");
	const temp = join(blobDir, "partial");
	const file = await open(temp, "w");
	const chunk = randomFillSync(Buffer.alloc(CHUNK));
	for (let done = 0; done < size; done += CHUNK) {
		if (done > 0) random ? randomFillSync(chunk) : chunk.fill(0);
		const part = chunk.subarray(0, size - done);
		hash.update(part);
		if (random || done === 0) await file.write(part);
	}
	await file.close();
	await truncate(temp, size);
	const hex = hash.digest("hex");
	await rename(temp, join(blobDir, "sha256", hex));
	return { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: `sha256:${hex}`, size };
}

/** A figure without its data is no figure: a bench that does not fit says so and fails. */
export async function needSpace(dir: string, bytes: number): Promise<void> {
	await mkdir(dir, { recursive: true });
	const { bavail, bsize } = await statfs(dir);
	const [needed, free] = [bytes, bavail * bsize].map((n) => Math.ceil(n / 2 ** 30));
	if (bavail * bsize < bytes) throw new Error(`${dir} needs ${needed} GiB for this figure; ${free} are free`);
}
