import { createCipheriv, createHash } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { finished } from "node:stream/promises";
import { blobFile } from "../../bundle/contents.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { writeBundle } from "../../bundle/writer.ts";
import { inputOf, nameOf, packOf, putJson, type TestBundle, testSigner, trustOf } from "../support/bundles.ts";

const CHUNK = 4 * 2 ** 20;

/** A bundle with one layer of `size` bytes that follow from the seed; they do not compress, so its frames are raw. */
export async function largeBundle(dir: string, size: number, seed: number): Promise<TestBundle> {
	const blobDir = join(dir, "blobs");
	await mkdir(join(blobDir, "sha256"), { recursive: true });
	const layer = await randomBlob(blobDir, size, seed);
	const config = await putJson(blobDir, { architecture: "amd64", os: "linux" }, MEDIA_TYPE.ociConfig);
	const value = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [layer] };
	const names = [nameOf("a.example/large:1", await putJson(blobDir, value, MEDIA_TYPE.ociManifest))];
	const signer = testSigner();
	const written = await writeBundle(inputOf(blobDir, [packOf("pack", names)]), join(dir, "large.zst"), signer);
	await rm(blobDir, { recursive: true });
	return { ...written, signer, trust: trustOf(signer), blobDir, names };
}

async function randomBlob(blobDir: string, size: number, seed: number) {
	const key = createHash("sha256").update(String(seed)).digest();
	const stream = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
	const zeros = Buffer.alloc(CHUNK);
	// The name is known only in the end, so the bytes are made twice: once to be hashed, once to be written.
	const hash = createHash("sha256");
	const pieces = function* (cipher: typeof stream) {
		for (let at = 0; at < size; at += CHUNK) yield cipher.update(zeros.subarray(0, Math.min(CHUNK, size - at)));
	};
	for (const piece of pieces(stream)) hash.update(piece);
	const digest = `sha256:${hash.digest("hex")}`;
	const path = blobFile(blobDir, digest);
	await mkdir(dirname(path), { recursive: true });
	const out = createWriteStream(path);
	for (const piece of pieces(createCipheriv("aes-256-ctr", key, Buffer.alloc(16)))) {
		if (!out.write(piece)) await once(out, "drain");
	}
	await finished(out.end());
	return { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size };
}
