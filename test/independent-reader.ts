/**
 * A second reader of bundle format 1, written from docs/bundle-format.md alone. It shares no code with bundle/: where the
 * two disagree, the page or one of them is wrong. It holds the whole file in memory and stops at the first fault.
 */
import assert from "node:assert/strict";
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { zstdDecompressSync } from "node:zlib";

interface Index {
	format: number;
	critical: string[];
	dataLength: number;
	names: { ref: string; digest: string }[];
	files: { name: string; sha256: string; size: number; tarOffset: number }[];
	blobs: { digest: string; size: number; tarOffset: number }[];
	frames: [compressed: number, plain: number, sha256: string][];
}
type Envelope = { payloadType: string; signatures: { keyid: string; sig: string }[] };
type Listed = { digest: string; annotations: Record<string, string> };
const TYPE = "application/vnd.slipway.bundle-index.v1+json";
const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
const padded = (n: number) => Math.ceil(n / 512) * 512;

/** Verifies a bundle with one public key; gives its index and its blobs by digest. Throws on any fault. */
export function readBundle(file: string, publicKeyPem: string) {
	const bytes = readFileSync(file);
	const key = createPublicKey(publicKeyPem);
	const signature = readFileSync(`${file.replace(/\.zst$/, "")}.sig.bin`);
	assert(verify("sha256", bytes, key, signature), "signature over the whole file");
	const n = bytes.readUInt32LE(bytes.length - 9);
	assert(n <= 2 ** 20, "entries of the seek table");
	const tableAt = bytes.length - (17 + 8 * n);
	const trailer = bytes.subarray(tableAt - 64, tableAt);
	const payloadSize = Number(trailer.readBigUInt64LE(8));
	const envelopeSize = trailer.readUInt32LE(16);
	assert(payloadSize <= 2 ** 24 && envelopeSize <= 2 ** 16, "limits of the index");
	const indexAt = tableAt - 64 - envelopeSize - payloadSize - 8;
	const payload = bytes.subarray(indexAt + 8, indexAt + 8 + payloadSize);
	const digest = createHash("sha256").update(payload).digest();
	const lengths = u32(payloadSize, 0, envelopeSize, 0);
	assert(trailer.equals(Buffer.concat([Buffer.from("SLPYIDX1"), lengths, digest, Buffer.alloc(8)])), "trailer");
	assert(bytes.subarray(indexAt, indexAt + 8).equals(u32(0x184d2a57, payloadSize + envelopeSize + 64)), "index frame");
	verifyEnvelope(JSON.parse(bytes.toString("utf8", indexAt + 8 + payloadSize, tableAt - 64)), payload, key);
	const index: Index = JSON.parse(payload.toString("utf8"));
	assert.deepEqual([index.format, index.critical, index.dataLength], [1, [], indexAt]);
	const entries = [...index.frames.flatMap((f) => f.slice(0, 2) as number[]), tableAt - indexAt, 0];
	const table = u32(0x184d2a5e, 8 * n + 9, ...entries, entries.length / 2, 0, 0x8f92eab1);
	// The descriptor is one byte: drop three of the four that u32 made.
	assert(Buffer.concat([table.subarray(0, -7), table.subarray(-4)]).equals(bytes.subarray(tableAt)), "seek table");
	let at = 0;
	const plain = index.frames.map(([size, plainSize, digest]) => {
		const frame = bytes.subarray(at, at + size);
		at += size;
		assert.equal(sha256(frame), digest);
		walk(frame, plainSize);
		const out = zstdDecompressSync(frame, { maxOutputLength: plainSize });
		assert.equal(out.length, plainSize);
		return out;
	});
	assert.equal(at, indexAt, "sum of the frames");
	return { index, indexDigest: sha256(payload), blobs: readTar(Buffer.concat(plain), index) };
}

function u32(...values: number[]): Buffer {
	const out = Buffer.alloc(4 * values.length);
	for (const [i, value] of values.entries()) out.writeUInt32LE(value, 4 * i);
	return out;
}

function verifyEnvelope({ payloadType, signatures }: Envelope, payload: Buffer, key: KeyObject): void {
	const message = Buffer.concat([Buffer.from(`DSSEv1 ${TYPE.length} ${TYPE} ${payload.length} `), payload]);
	assert(payloadType === TYPE && signatures.length <= 16, "envelope");
	const mine = signatures.filter((s) => s.keyid === sha256(key.export({ format: "der", type: "spki" })));
	assert(mine.length > 0, "no signature of this key");
	for (const { sig } of mine) assert(verify("sha256", message, key, Buffer.from(sig, "base64")), "signature");
}

function walk(frame: Buffer, plain: number): void {
	assert.equal(frame.readUInt32LE(0), 0xfd2fb528);
	const d = frame[4]!;
	assert.equal(d & 0b11011, 0, "dictionary and reserved bits");
	const single = (d & 0x20) !== 0;
	const sizeBytes = d >> 6 === 0 ? (single ? 1 : 0) : 1 << (d >> 6);
	let at = 5 + (single ? 0 : 1);
	const declared = frame.subarray(at, at + sizeBytes).reduceRight((value, byte) => value * 256 + byte, 0);
	if (sizeBytes > 0) assert.equal(declared + (sizeBytes === 2 ? 256 : 0), plain);
	const window = single ? plain : 2 ** (10 + (frame[5]! >> 3)) * (1 + (frame[5]! & 7) / 8);
	assert(window <= 2 ** 23, "window");
	at += sizeBytes;
	for (let blocks = 1, last = false; !last; blocks++) {
		assert(blocks <= Math.ceil(plain / 131072) + 1, "number of blocks");
		const block = frame.readUIntLE(at, 3);
		const type = (block >> 1) & 3;
		assert(type !== 3 && block >> 3 <= Math.min(131072, window), "block");
		last = (block & 1) === 1;
		at += 3 + (type === 1 ? 1 : block >> 3);
	}
	assert.equal(at + ((d & 4) === 0 ? 0 : 4), frame.length, "end of the frame");
}

function readTar(tar: Buffer, index: Index): Map<string, Buffer> {
	const blobs = new Map<string, Buffer>();
	let at = 0;
	const read = (name: string, size: number, tarOffset: number, digest: string) => {
		const front = headers(name, size);
		assert(tar.subarray(at, at + front.length).equals(front) && tarOffset === at + front.length, `header of ${name}`);
		const data = tar.subarray(tarOffset, tarOffset + size);
		at = tarOffset + padded(size);
		assert(tar.subarray(tarOffset + size, at).equals(Buffer.alloc(at - tarOffset - size)), "padding");
		const [algorithm, hex] = digest.split(":");
		assert.equal(createHash(algorithm!).update(data).digest("hex"), hex);
		return data;
	};
	const [, layout] = index.files.map((f) => read(f.name, f.size, f.tarOffset, `sha256:${f.sha256}`));
	for (const { digest, size, tarOffset } of index.blobs) {
		blobs.set(digest, read(`blobs/${digest.replace(":", "/")}`, size, tarOffset, digest));
	}
	assert(tar.subarray(at).equals(Buffer.alloc(1024)), "end of the tar");
	const { manifests } = JSON.parse(layout!.toString("utf8")) as { manifests: Listed[] };
	const listed = manifests.map((m) => `${m.annotations["org.opencontainers.image.ref.name"]} ${m.digest}`);
	assert.deepEqual(listed.sort(), index.names.map((name) => `${name.ref} ${name.digest}`).sort());
	return blobs;
}

function headers(name: string, size: number): Buffer {
	const large = size > 0o77777777777;
	const records = (name.length > 100 ? record("path", name) : "") + (large ? record("size", String(size)) : "");
	const pax =
		records === "" ? "" : ustar("PaxHeader", records.length, "x") + records.padEnd(padded(records.length), "\0");
	return Buffer.from(pax + ustar(name.slice(0, 100), large ? 0 : size, "0"), "latin1");
}

function ustar(name: string, size: number, type: string): string {
	const zero = "0000000\0";
	const front = `${name.padEnd(100, "\0")}0000644\0${zero}${zero}${size.toString(8).padStart(11, "0")}\0${"0".repeat(11)}\0`;
	const back = `${type}${"\0".repeat(100)}ustar\0${"00"}${"\0".repeat(64)}${zero}${zero}${"\0".repeat(167)}`;
	const sum = Buffer.from(`${front}        ${back}`, "latin1").reduce((total, byte) => total + byte, 0);
	return `${front}${sum.toString(8).padStart(6, "0")}\0 ${back}`;
}

function record(key: string, value: string): string {
	const rest = ` ${key}=${value}\n`;
	const digits = [1, 2, 3, 4].find((d) => String(rest.length + d).length === d)!;
	return `${rest.length + digits}${rest}`;
}
