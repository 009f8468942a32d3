import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
	inputOf,
	makeTestBundle,
	nameOf,
	packOf,
	putBlob,
	putImage,
	putJson,
	type TestBundle,
	trustOf,
} from "../test/support/bundles.ts";
import { forgeBundle } from "../test/support/forge.ts";
import { MAX_PLAIN, rawFrame } from "./frames.ts";
import { parseIndex } from "./index-check.ts";
import { bundleIndex } from "./index-schema.ts";
import { MAX_MANIFEST, MEDIA_TYPE, parseManifest } from "./oci.ts";
import { openBundle } from "./reader.ts";
import { encodeSeekTable, encodeTail, MAX_ENTRIES, MAX_ENVELOPE, MAX_PAYLOAD, readTail } from "./tail.ts";
import { verifyBundle } from "./verify.ts";
import { writeBundle } from "./writer.ts";

/** Each limit of the format: taken at the limit, refused one past it. */
let dir: string;
let good: TestBundle;
beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-limits-"));
	good = await makeTestBundle(dir, { seed: "limits", layers: [40] });
});
afterAll(() => rm(dir, { recursive: true }));

const limit = expect.objectContaining({ code: "E_LIMIT" });

/** Reads a tail that stands alone in a file. */
async function tailOf(bytes: Buffer): Promise<Awaited<ReturnType<typeof readTail>>> {
	const path = join(dir, "tail");
	await writeFile(path, bytes);
	const fd = await open(path);
	try {
		return await readTail(fd, bytes.length);
	} finally {
		await fd.close();
	}
}

test("index: 16 MiB", async () => {
	const fill = (size: number) => (p: Buffer) =>
		Buffer.concat([p.subarray(0, -1), Buffer.alloc(size - p.length, " "), p.subarray(-1)]);
	const path = await forgeBundle(good, { payload: fill(MAX_PAYLOAD) });
	expect((await verifyBundle(path, good.trust)).index.name).toBe("test");
	expect(() => encodeTail(Buffer.alloc(MAX_PAYLOAD + 1), Buffer.alloc(1), [])).toThrow(limit);
	const tail = encodeTail(Buffer.alloc(10), Buffer.alloc(1), []);
	const trailer = tail.indexOf("SLPYIDX1");
	tail.writeBigUInt64LE(BigInt(MAX_PAYLOAD + 1), trailer + 8);
	await expect(tailOf(tail)).rejects.toEqual(limit);
	tail.writeBigUInt64LE(2n ** 63n, trailer + 8);
	await expect(tailOf(tail)).rejects.toEqual(limit);
});

test("envelope: 64 KiB", async () => {
	const fill = (size: number) => (e: Buffer) => Buffer.concat([e, Buffer.alloc(size - e.length, " ")]);
	await verifyBundle(await forgeBundle(good, { envelope: fill(MAX_ENVELOPE) }), good.trust);
	expect(() => encodeTail(Buffer.alloc(1), Buffer.alloc(MAX_ENVELOPE + 1), [])).toThrow(limit);
	const tail = encodeTail(Buffer.alloc(10), Buffer.alloc(1), []);
	tail.writeUInt32LE(MAX_ENVELOPE + 1, tail.indexOf("SLPYIDX1") + 16);
	await expect(tailOf(tail)).rejects.toEqual(limit);
});

test("seek table: 2^20 entries, seen before anything of that size is read", async () => {
	const most = Array.from({ length: MAX_ENTRIES - 1 }, () => [1, 1, ""] as const);
	expect(encodeSeekTable(most, 100)).toHaveLength(17 + 8 * MAX_ENTRIES);
	expect(() => encodeSeekTable([...most, [1, 1, ""]], 100)).toThrow(limit);
	const tail = await tailOf(encodeTail(Buffer.from("{}"), Buffer.from("{}"), most));
	expect(tail.payload.toString()).toBe("{}");
	const footer = Buffer.from(encodeTail(Buffer.alloc(10), Buffer.alloc(1), []));
	footer.writeUInt32LE(MAX_ENTRIES + 1, footer.length - 9);
	await expect(tailOf(footer)).rejects.toEqual(limit);
	footer.writeUInt32LE(MAX_ENTRIES, footer.length - 9);
	await expect(tailOf(footer)).rejects.toMatchObject({ code: "E_SEEK_TABLE" });
});

test("blobs: 100,000", () => {
	const blobs = (n: number) =>
		Array.from({ length: n }, (_, i) => ({
			digest: `sha256:${i.toString(16).padStart(64, "0")}`,
			size: 0,
			tarOffset: 0,
			frame: 0,
		}));
	const parse = (n: number) => parseIndex(Buffer.from(JSON.stringify({ ...good.index, blobs: blobs(n) })));
	expect(() => parse(100_000)).toThrow(expect.objectContaining({ code: "E_INDEX" })); // only their offsets are wrong
	expect(() => parse(100_001)).toThrow(limit);
});

test("frames: 2^20 in the index", () => {
	const frames = (n: number) => Array.from({ length: n }, () => [1, 1, "0".repeat(64)]);
	expect(bundleIndex.shape.frames.safeParse(frames(2 ** 20)).success).toBe(true);
	expect(bundleIndex.shape.frames.safeParse(frames(2 ** 20 + 1)).success).toBe(false);
});

describe("a manifest: 4 MiB", () => {
	const manifest = (size: number) => {
		const json = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] });
		return Buffer.from(json + " ".repeat(size - json.length));
	};

	test("when parsed", () => {
		expect(parseManifest(manifest(MAX_MANIFEST), MEDIA_TYPE.ociIndex).kind).toBe("index");
		expect(() => parseManifest(manifest(MAX_MANIFEST + 1), MEDIA_TYPE.ociIndex)).toThrow(limit);
	});

	test("in a bundle, refused from the index before it is read", async () => {
		const blobDir = join(dir, "manifests");
		const image = await putBlob(blobDir, manifest(MAX_MANIFEST), MEDIA_TYPE.ociIndex);
		const out = join(dir, "manifest.zst");
		await writeBundle(inputOf(blobDir, [packOf("p", [nameOf("a.example/x:1", image)])]), out, good.signer);
		await verifyBundle(out, good.trust);
		const large = await putBlob(blobDir, manifest(MAX_MANIFEST + 1), MEDIA_TYPE.ociIndex);
		const refused = writeBundle(inputOf(blobDir, [packOf("p", [nameOf("a.example/x:1", large)])]), out, good.signer);
		await expect(refused).rejects.toEqual(limit);
	});
});

test("a frame: 8 MiB plain", async () => {
	const blobDir = join(dir, "large");
	const image = await putImage(blobDir, { seed: "large", layers: [MAX_PLAIN - 512] });
	const out = join(dir, "large.zst");
	const written = await writeBundle(
		inputOf(blobDir, [packOf("p", [nameOf("a.example/x:1", image)])]),
		out,
		good.signer,
	);
	const large = { ...good, ...written, path: out };
	const layer = written.index.blobs.at(-1)!;
	const start = layer.tarOffset - 512;
	const frames = (tar: Buffer) => {
		const parts = [tar.subarray(0, start), tar.subarray(start, start + MAX_PLAIN), tar.subarray(start + MAX_PLAIN)];
		return parts.map((p) => ({ frame: rawFrame(p), plain: p.length }));
	};
	const path = await forgeBundle(large, { frames, index: (i) => void Object.assign(i.blobs.at(-1)!, { frame: 1 }) });
	expect((await verifyBundle(path, trustOf(good.signer))).index.frames[1]![1]).toBe(MAX_PLAIN);
	const over = forgeBundle(large, {}); // the whole tar in one frame
	await expect(verifyBundle(await over, trustOf(good.signer))).rejects.toMatchObject({ code: "E_INDEX" });
});

test("nested indexes: 8 levels below a name", async () => {
	const blobDir = join(dir, "nested");
	let image = await putImage(blobDir);
	const out = join(dir, "nested.zst");
	const write = () => writeBundle(inputOf(blobDir, [packOf("p", [nameOf("a.example/x:1", image)])]), out, good.signer);
	for (let depth = 1; depth <= 8; depth++) {
		image = await putJson(
			blobDir,
			{ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [image] },
			MEDIA_TYPE.ociIndex,
		);
	}
	await write();
	await verifyBundle(out, good.trust);
	image = await putJson(
		blobDir,
		{ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [image] },
		MEDIA_TYPE.ociIndex,
	);
	await expect(write()).rejects.toMatchObject({ code: "E_OCI" });
});

test("a file too short for a bundle, and one of nothing but zeros", async () => {
	for (const size of [0, 1, 96, 97, 1000, 100_000]) {
		const path = join(dir, "zeros");
		await writeFile(path, Buffer.alloc(size));
		await expect(openBundle(path)).rejects.toMatchObject({ code: "E_TRUNCATED" });
	}
});
