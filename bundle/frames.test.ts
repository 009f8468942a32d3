import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededBytes } from "../test/support/bundles.ts";
import { flip } from "../test/support/forge.ts";
import { COMPRESSOR, compressFrame, isCompressedType } from "./compress.ts";
import {
	decodeFrame,
	decodeParts,
	type FrameRecord,
	MAX_PLAIN,
	maxCompressed,
	rawFrame,
	rawFrameLength,
	walkFrame,
} from "./frames.ts";

const KIB = 1024;
const recordOf = (frame: Buffer, plain: number): FrameRecord => [frame.length, plain, hash("sha256", frame, "hex")];
const decode = (frame: Buffer, plain: number) => decodeFrame(frame, recordOf(frame, plain), 7, 1000);
const refused = (frame: Buffer, plain: number) =>
	expect(decode(frame, plain)).rejects.toMatchObject({ code: "E_FRAME" });
const flipped = (bytes: Buffer, at: number) => flip(Buffer.from(bytes), at);
const sizes = [1, 511, 128 * KIB - 1, 128 * KIB, 128 * KIB + 1, 1024 * KIB, 3 * 128 * KIB + 17];

describe("canonical raw frames", () => {
	test("the bytes are fixed", () => {
		expect(rawFrame(Buffer.from("abc")).toString("hex")).toBe(`28b52ffda003000000${"190000"}616263`);
	});

	test.each(sizes)("%i bytes: any zstd decodes them, and so do we, without a decoder", async (size) => {
		const plain = seededBytes("raw", size);
		const frame = rawFrame(plain);
		expect(frame).toHaveLength(rawFrameLength(size));
		expect(zstdDecompressSync(frame)).toEqual(plain);
		expect(walkFrame(frame, size)).toBe(undefined);
		expect(await decode(frame, size)).toEqual(plain);
		const parts = await decodeParts(frame, recordOf(frame, size), 0, 0);
		expect(Buffer.concat(parts)).toEqual(plain);
		expect(parts.every((part) => part.buffer === frame.buffer)).toBe(true); // nothing was copied
	});

	test("raw blocks cut differently are not canonical, and are decoded all the same", async () => {
		const plain = seededBytes("raw", 300);
		const block = (data: Buffer, last: number) => {
			const header = Buffer.alloc(3);
			header.writeUIntLE((data.length << 3) | last, 0, 3);
			return Buffer.concat([header, data]);
		};
		const frame = Buffer.concat([
			rawFrame(plain).subarray(0, 9),
			block(plain.subarray(0, 100), 0),
			block(plain.subarray(100), 1),
		]);
		expect(walkFrame(frame, 300)).toBe(undefined);
		expect(await decode(frame, 300)).toEqual(plain);
	});

	test("proved later, any byte of the framing that is another one is found by the frame's digest at once", async () => {
		const size = 128 * KIB + 3;
		const plain = seededBytes("raw", size);
		const good = rawFrame(plain);
		const record = recordOf(good, size);
		const framing = [...Array(12).keys(), ...[12, 13, 14].map((at) => at + 128 * KIB)];
		for (const at of framing) {
			await expect(decodeParts(flipped(good, at), record, 7, 1000, true)).rejects.toMatchObject({
				code: "E_FRAME",
				message: expect.stringContaining(`frame 7 (bytes 1000 to ${999 + good.length}) does not have the digest`),
			});
		}
		// A plain byte is for the caller to prove; a frame that must be decoded is never taken so.
		expect(Buffer.concat(await decodeParts(flipped(good, 12), record, 7, 1000, true))).toEqual(flipped(plain, 0));
		await expect(decodeParts(flipped(good, 12), record, 7, 1000)).rejects.toMatchObject({ code: "E_FRAME" });
		const packed = zstdCompressSync(Buffer.alloc(1000));
		const bad = flipped(packed, packed.length - 1);
		await expect(decodeParts(bad, recordOf(packed, 1000), 7, 1000, true)).rejects.toMatchObject({ code: "E_FRAME" });
	});
});

describe("compressed frames", () => {
	test.each(sizes)("%i bytes come back", async (size) => {
		const plain = Buffer.alloc(size, "some text ");
		expect(await decode(await compressFrame(plain), size)).toEqual(plain);
	});

	test("any mixture of noise and text comes back, and never takes more than the raw frame", async () => {
		const part = fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 200_000 }));
		await fc.assert(
			fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 4 }), async (parts) => {
				const plain = Buffer.concat(
					parts.map(([noise, n], i) => (noise ? seededBytes(`${i}`, n) : Buffer.alloc(n, `text ${i} `))),
				);
				const frame = await compressFrame(plain);
				expect(frame.length).toBeLessThanOrEqual(rawFrameLength(plain.length));
				expect((await decode(frame, plain.length)).equals(plain)).toBe(true);
			}),
			{ numRuns: 25 },
		);
	});

	test("noise is stored raw, and the level is really used", async () => {
		const noise = seededBytes("noise", 5000);
		expect(await compressFrame(noise)).toEqual(rawFrame(noise));
		expect(COMPRESSOR).toBe("@mongodb-js/zstd 1.2.2, level 3");
		const text = readFileSync(join(import.meta.dirname, "errors.ts"));
		const level3 = zstdCompressSync(text, { params: { [constants.ZSTD_c_compressionLevel]: 3 } });
		const level19 = zstdCompressSync(text, { params: { [constants.ZSTD_c_compressionLevel]: 19 } });
		const ours = (await compressFrame(text)).length;
		expect(Math.abs(ours - level3.length)).toBeLessThan(Math.abs(ours - level19.length));
	});

	test("the media type says what is compressed already", () => {
		for (const type of [
			"application/vnd.oci.image.layer.v1.tar+gzip",
			"application/vnd.oci.image.layer.v1.tar+zstd",
			"application/vnd.docker.image.rootfs.diff.tar.gzip",
			"application/vnd.cncf.helm.chart.content.v1.tar+gzip",
		]) {
			expect(isCompressedType(type)).toBe(true);
		}
		for (const type of ["application/vnd.oci.image.layer.v1.tar", "application/json", "application/gzip-info"]) {
			expect(isCompressedType(type)).toBe(false);
		}
	});
});

describe("what a frame may not be", () => {
	const plain = Buffer.alloc(200_000, "abcdefg ");
	const good = zstdCompressSync(plain);

	test("damaged: the message names frame and bytes", async () => {
		const bad = Buffer.from(good);
		bad[20]! ^= 1;
		await expect(decodeFrame(bad, recordOf(good, plain.length), 7, 1000)).rejects.toMatchObject({
			code: "E_FRAME",
			message: expect.stringContaining(`frame 7 (bytes 1000 to ${1000 + good.length - 1})`),
		});
	});

	test("of another plain size, even by one byte", async () => {
		await decode(good, plain.length);
		await refused(good, plain.length - 1);
		await refused(good, plain.length + 1);
		await refused(rawFrame(plain), plain.length + 1);
		const undeclared = await compressFrame(plain);
		expect(await decode(undeclared, plain.length)).toEqual(plain);
		for (const size of [plain.length - 1, plain.length + 1]) {
			expect(walkFrame(undeclared, size)).toBe(undefined);
			await refused(undeclared, size);
		}
	});

	test("a bomb: the decoder stops at the signed size", async () => {
		const bomb = zstdCompressSync(Buffer.alloc(64 * KIB * KIB), { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } });
		await refused(bomb, 1024 * KIB);
		// The blocks alone fit; what they hold does not.
		const blocks = Buffer.from("28b52ffd0058", "hex");
		const rle = Buffer.alloc(4);
		rle.writeUIntLE(((128 * KIB) << 3) | 2, 0, 3);
		const last = Buffer.from(rle);
		last[0]! |= 1;
		const capped = decode(Buffer.concat([blocks, rle, last]), 128 * KIB);
		await expect(capped).rejects.toMatchObject({ cause: { code: "ERR_BUFFER_TOO_LARGE" } });
		expect(await decode(Buffer.concat([blocks, rle, last]), 256 * KIB)).toEqual(Buffer.alloc(256 * KIB));
	});

	test("two frames, or something behind the one: a decoder that stops early would not see it", async () => {
		const half = zstdCompressSync(plain.subarray(0, 100_000));
		await refused(Buffer.concat([half, half]), plain.length);
		await refused(Buffer.concat([good, good]), plain.length);
		await refused(Buffer.concat([good, Buffer.alloc(1)]), plain.length);
		await refused(Buffer.concat([good, Buffer.from("502a4d1800000000", "hex")]), plain.length);
		await refused(Buffer.concat([Buffer.from("502a4d1800000000", "hex"), good]), plain.length);
	});

	test("cut off anywhere", async () => {
		for (let size = 0; size < good.length; size += 1) await refused(good.subarray(0, size), plain.length);
	});

	test("with a dictionary, reserved bits, a reserved block type", async () => {
		for (const bit of [1, 2, 8, 16]) {
			const bad = Buffer.from(rawFrame(Buffer.from("abc")));
			bad[4]! |= bit;
			expect(walkFrame(bad, 3)).toBe(bit < 4 ? "asks for a dictionary" : "sets a reserved bit");
			await refused(bad, 3);
		}
		const bad = Buffer.from(rawFrame(Buffer.from("abc")));
		bad[9]! |= 6;
		expect(walkFrame(bad, 3)).toBe("has a block of a reserved type");
		await refused(bad, 3);
	});

	test("a window of 8 MiB is taken, a larger one is not", async () => {
		const body = rawFrame(Buffer.from("abc")).subarray(9);
		const withWindow = (byte: number) => Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, byte]), body]);
		expect(await decode(withWindow(13 << 3), 3)).toEqual(Buffer.from("abc"));
		await refused(withWindow((13 << 3) | 1), 3);
		await refused(withWindow(0xff), 3);
	});

	test("one block more than its size needs is taken, two are not", async () => {
		const raw = (n: number, last: number) => {
			const out = Buffer.alloc(3 + n, 7);
			out.writeUIntLE((n << 3) | last, 0, 3);
			return out;
		};
		const head = rawFrame(Buffer.alloc(4)).subarray(0, 9);
		expect(await decode(Buffer.concat([head, raw(2, 0), raw(2, 1)]), 4)).toEqual(Buffer.alloc(4, 7));
		await refused(Buffer.concat([head, raw(1, 0), raw(1, 0), raw(2, 1)]), 4);
	});

	test("a block larger than 128 KiB or the window", async () => {
		const size = 128 * KIB + 1;
		const frame = Buffer.concat([rawFrame(Buffer.alloc(size)).subarray(0, 9), Buffer.alloc(3 + size)]);
		frame.writeUIntLE((size << 3) | 1, 9, 3);
		await refused(frame, size);
	});

	test("a content size that is not the index's", async () => {
		const frame = Buffer.from(rawFrame(Buffer.from("abc")));
		frame.writeUInt32LE(4, 5);
		await refused(frame, 3);
	});

	test("random bytes behind the magic number never crash and never pass", async () => {
		await fc.assert(
			fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (bytes) => {
				const frame = Buffer.concat([Buffer.from("28b52ffd", "hex"), bytes]);
				await decode(frame, 1000).then(
					(plain) => expect(plain).toEqual(zstdDecompressSync(frame)),
					(error: unknown) => expect(error).toMatchObject({ code: "E_FRAME" }),
				);
			}),
		);
	});

	test("frames with a checksum, as other writers make them, are taken", async () => {
		const frame = zstdCompressSync(plain, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
		expect(await decode(frame, plain.length)).toEqual(plain);
	});

	test("the largest compressed size leaves room for every frame that is possible", () => {
		for (const size of [...sizes, MAX_PLAIN]) expect(maxCompressed(size)).toBeGreaterThan(rawFrameLength(size));
	});
});
