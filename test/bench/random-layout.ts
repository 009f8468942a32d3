import { createHash, randomFillSync } from "node:crypto";
import { mkdir, open, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

const CHUNK = 4 * 1024 * 1024;

/**
 * Makes an OCI image layout of `images` images with `layersEach` layers of random bytes, `bytes` in all. Random bytes do not
 * compress, as gzip layers do not; nothing here unpacks them.
 */
export async function makeRandomLayout(dir: string, bytes: number, images: number, layersEach: number): Promise<void> {
	const blobs = join(dir, "blobs", "sha256");
	await mkdir(blobs, { recursive: true });
	const layerSize = Math.floor(bytes / images / layersEach);
	const manifests: object[] = [];
	for (let image = 0; image < images; image++) {
		const layers = [];
		for (let layer = 0; layer < layersEach; layer++) {
			layers.push(await randomBlob(blobs, layerSize));
		}
		const config = await jsonBlob(blobs, "application/vnd.oci.image.config.v1+json", {
			architecture: "amd64",
			os: "linux",
			config: {},
			rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.digest) },
		});
		const manifest = await jsonBlob(blobs, "application/vnd.oci.image.manifest.v1+json", {
			schemaVersion: 2,
			mediaType: "application/vnd.oci.image.manifest.v1+json",
			config,
			layers,
		});
		manifests.push({
			...manifest,
			annotations: { "org.opencontainers.image.ref.name": `bench.local/random/image-${image}:1` },
		});
	}
	await writeFile(join(dir, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
	await writeFile(join(dir, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
}

interface Descriptor {
	mediaType: string;
	digest: string;
	size: number;
}

async function randomBlob(blobs: string, size: number): Promise<Descriptor> {
	const hash = createHash("sha256");
	const temp = join(blobs, "partial");
	const file = await open(temp, "w");
	const chunk = Buffer.alloc(CHUNK);
	for (let done = 0; done < size; done += CHUNK) {
		const part = randomFillSync(chunk).subarray(0, Math.min(CHUNK, size - done));
		hash.update(part);
		await file.write(part);
	}
	await file.close();
	const hex = hash.digest("hex");
	await rename(temp, join(blobs, hex));
	return { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: `sha256:${hex}`, size };
}

async function jsonBlob(blobs: string, mediaType: string, value: unknown): Promise<Descriptor> {
	const bytes = Buffer.from(JSON.stringify(value));
	const hex = createHash("sha256").update(bytes).digest("hex");
	await writeFile(join(blobs, hex), bytes);
	return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
}
