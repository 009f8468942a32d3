import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { signEnvelope } from "../../../bundle/dsse.ts";
import { PAYLOAD_TYPE } from "../../../bundle/index-schema.ts";
import { MEDIA_TYPE } from "../../../bundle/oci.ts";
import { nameOf } from "../../support/bundles.ts";
import type { Forgery } from "../../support/forge.ts";
import { layOut, sha256Of } from "../../support/lay-out.ts";
import { type Family, family, pick, place, variant } from "../family.ts";

/** A06 and A07: more than was declared, more than is allowed, and what never ends. */

const BLOCK_MAX = 128 * 1024;

/** A frame of blocks that each repeat one byte 128 KiB long: four bytes become so many. The window is the largest allowed. */
function repeats(blocks: number): Buffer {
	const out = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68])];
	for (let i = 0; i < blocks; i++) {
		const header = Buffer.alloc(4);
		header.writeUIntLE((BLOCK_MAX << 3) | (1 << 1) | (i === blocks - 1 ? 1 : 0), 0, 3);
		out.push(header);
	}
	return Buffer.concat(out);
}

/** One frame in place of the data, whose record is right in everything but what it decodes to. */
const frame = (make: (tar: Buffer) => Buffer): Forgery => ({
	frames: (tar) => [{ frame: make(tar), plain: tar.length }],
});

const a06 = family(
	"A06",
	"frames that decode to more than the signed index says",
	variant("repeated blocks", "E_FRAME", fc.integer({ min: 1, max: 40_000 }), (site, blocks) =>
		site.forge(frame(() => repeats(blocks))),
	),
	variant("zeros behind the tar", "E_FRAME", fc.integer({ min: 1, max: 4 * 2 ** 20 }), (site, more) =>
		site.forge(frame((tar) => zstdCompressSync(Buffer.concat([tar, Buffer.alloc(more)])))),
	),
	variant("compressed twice or more", "E_FRAME", fc.integer({ min: 2, max: 5 }), (site, times) =>
		site.forge(frame((tar) => Array.from({ length: times }).reduce<Buffer>((b) => zstdCompressSync(b), tar))),
	),
	variant("two frames in one", "E_FRAME", place, (site, at) =>
		site.forge(
			frame((tar) => {
				const cut = 1 + pick(at, tar.length - 1);
				return Buffer.concat([zstdCompressSync(tar.subarray(0, cut)), zstdCompressSync(tar.subarray(cut))]);
			}),
		),
	),
	variant("a window of more than 8 MiB", "E_FRAME", fc.integer({ min: 0x69, max: 0xff }), (site, window) =>
		site.forge(
			frame(() => {
				const bomb = repeats(1);
				bomb[5] = window;
				return bomb;
			}),
		),
	),
	variant(
		"a frame said to take more than its size can need",
		"E_SIZE_EXCEEDED",
		fc.integer({ min: 2 ** 20, max: 2 ** 32 - 1 }),
		(site, size) => site.forge({ index: (i) => void i.frames.splice(0, 1, [size, i.frames[0]![1], i.frames[0]![2]]) }),
	),
	variant(
		"a plain size of more than 8 MiB",
		"E_INDEX",
		fc.integer({ min: 8 * 2 ** 20 + 1, max: 2 ** 32 - 1 }),
		(site, size) => site.forge({ index: (i) => void i.frames.splice(0, 1, [i.frames[0]![0], size, i.frames[0]![2]]) }),
	),
);

/** Writes into the file's end; nothing else of it is touched. */
const atEnd = (change: (file: Buffer, trailer: number) => void): Forgery => ({
	file: (file) => {
		change(file, file.lastIndexOf("SLPYIDX1"));
		return file;
	},
});
const manySignatures = fc.integer({ min: 17, max: 60 });
const repeated = (json: Buffer, n: number) => {
	const envelope = JSON.parse(json.toString());
	return Buffer.from(JSON.stringify({ ...envelope, signatures: Array(n).fill(envelope.signatures[0]) }));
};

const a07 = family(
	"A07",
	"more than the format allows, and what never ends",
	variant("signatures of a bundle", "E_LIMIT", manySignatures, (site, n) =>
		site.forge({ envelope: (e) => repeated(e, n) }),
	),
	variant("signatures of a release", "E_LIMIT", fc.integer({ min: 17, max: 5000 }), async (site, n) => {
		const content = await site.content();
		const payload = Buffer.from(JSON.stringify(await site.payload()));
		const envelope = await signEnvelope(PAYLOAD_TYPE.contentRelease, payload, site.signer);
		await writeFile(join(content, "release.dsse.json"), repeated(Buffer.from(JSON.stringify(envelope)), n));
		return { content };
	}),
	variant(
		"size of the index, claimed",
		"E_LIMIT",
		fc.bigInt({ min: 2n ** 24n + 1n, max: 2n ** 64n - 1n }),
		(site, size) => site.forge(atEnd((file, trailer) => void file.writeBigUInt64LE(size, trailer + 8))),
	),
	variant(
		"size of the envelope, claimed",
		"E_LIMIT",
		fc.integer({ min: 2 ** 16 + 1, max: 2 ** 32 - 1 }),
		(site, size) => site.forge(atEnd((file, trailer) => void file.writeUInt32LE(size, trailer + 16))),
	),
	variant(
		"entries of the seek table, claimed",
		"E_LIMIT",
		fc.integer({ min: 2 ** 20 + 1, max: 2 ** 32 - 1 }),
		(site, n) => site.forge(atEnd((file) => void file.writeUInt32LE(n, file.length - 9))),
	),
	variant("size of a manifest", "E_LIMIT", fc.integer({ min: 4 * 2 ** 20 + 1, max: 5 * 2 ** 20 }), (site, size) => {
		const data = Buffer.alloc(size, " ");
		const image = { digest: sha256Of(data), size, mediaType: MEDIA_TYPE.ociManifest };
		return site.forge(layOut({ names: [nameOf("a.example/core/one:1", image)], blobs: [{ data }] }));
	}),
	variant("size of a release", "E_LIMIT", fc.integer({ min: 2 ** 22 + 1, max: 2 ** 42 }), async (site, size) => {
		const content = await site.content();
		const fd = await open(join(content, "release.dsse.json"), "r+");
		await fd.truncate(size);
		await fd.close();
		return { content };
	}),
	variant(
		"a bundle of nothing but zeros",
		"E_TRUNCATED",
		fc.integer({ min: 200, max: 2 ** 42 }),
		async (site, size) => {
			const { bundle } = await site.forge({});
			const fd = await open(bundle, "w");
			await fd.truncate(size);
			await fd.close();
			return { bundle };
		},
	),
	variant("size of a signature file", "E_SIG_INVALID", fc.integer({ min: 1025, max: 2 ** 42 }), async (site, size) => {
		const { bundle } = await site.forge({});
		const fd = await open(bundle.replace(/\.zst$/, ".sig.bin"), "r+");
		await fd.truncate(size);
		await fd.close();
		return { bundle };
	}),
);

export const sizeFamilies: readonly Family[] = [a06, a07];
