import type { FileHandle } from "node:fs/promises";
import { sha256Hex } from "./digest.ts";
import { SlipwayError } from "./errors.ts";
import type { FrameRecord } from "./frames.ts";
import { readExactly } from "./read.ts";
import { region } from "./regions.ts";

/**
 * The end of a bundle: index frame (payload | envelope | trailer), then the seek-table frame. Both are skippable frames, so
 * any zstd passes over them (docs/bundle-format.md, "Index frame" and "Seek-table frame").
 */
export const MAX_PAYLOAD = 16 * 1024 * 1024;
export const MAX_ENVELOPE = 64 * 1024;
export const MAX_ENTRIES = 2 ** 20;
const INDEX_MAGIC = 0x184d2a57;
const SEEK_MAGIC = 0x184d2a5e;
const SEEK_FOOTER_MAGIC = 0x8f92eab1;
const SKIPPABLE_HEADER = 8;
const SEEK_FOOTER = 9;
const TRAILER = 64;
const TRAILER_MAGIC = Buffer.from("SLPYIDX1", "ascii");

export interface Tail {
	readonly payload: Buffer;
	readonly envelope: Buffer;
	/** Where the index frame begins, which is where the data frames end. */
	readonly indexOffset: number;
	readonly seekTable: Buffer;
}

/** Index frame and seek table of a bundle with these data frames. Errors: E_LIMIT. */
export function encodeTail(payload: Buffer, envelope: Buffer, frames: readonly FrameRecord[]): Buffer {
	limit(payload.length, MAX_PAYLOAD, "index", "16 MiB");
	limit(envelope.length, MAX_ENVELOPE, "envelope", "64 KiB");
	const trailer = Buffer.alloc(TRAILER);
	TRAILER_MAGIC.copy(trailer);
	trailer.writeBigUInt64LE(BigInt(payload.length), 8);
	trailer.writeUInt32LE(envelope.length, 16);
	trailer.write(sha256Hex(payload), 24, "hex");
	const content = payload.length + envelope.length + TRAILER;
	return Buffer.concat([
		skippableHeader(INDEX_MAGIC, content),
		payload,
		envelope,
		trailer,
		encodeSeekTable(frames, SKIPPABLE_HEADER + content),
	]);
}

/** Seekable format 0.1.0: an entry per data frame, one for the index frame (it decodes to nothing), no checksums. */
export function encodeSeekTable(frames: readonly FrameRecord[], indexFrameSize: number): Buffer {
	const n = frames.length + 1;
	if (n > MAX_ENTRIES)
		throw new SlipwayError("E_LIMIT", `The bundle has ${frames.length} frames; ${MAX_ENTRIES - 1} are allowed.`);
	const out = Buffer.alloc(SKIPPABLE_HEADER + 8 * n + SEEK_FOOTER);
	skippableHeader(SEEK_MAGIC, 8 * n + SEEK_FOOTER).copy(out);
	let at = SKIPPABLE_HEADER;
	for (const [compressed, plain] of [...frames, [indexFrameSize, 0] as const]) {
		out.writeUInt32LE(compressed, at);
		out.writeUInt32LE(plain, at + 4);
		at += 8;
	}
	out.writeUInt32LE(n, at);
	out.writeUInt32LE(SEEK_FOOTER_MAGIC, at + 5); // the descriptor byte between them is 0
	return out;
}

function skippableHeader(magic: number, size: number): Buffer {
	const out = Buffer.alloc(SKIPPABLE_HEADER);
	out.writeUInt32LE(magic, 0);
	out.writeUInt32LE(size, 4);
	return out;
}

function limit(size: number, max: number, what: string, words: string): void {
	if (size > max) throw new SlipwayError("E_LIMIT", `The ${what} has ${size} bytes; ${words} are allowed.`);
}

/**
 * Reads the tail of an open file of `size` bytes. Nothing is allocated before its limit is checked. What it finds is not
 * authentic yet: the seek table says only for messages where the index should begin.
 * Errors: E_TRUNCATED, E_TRAILING, E_LIMIT, E_SEEK_TABLE, E_INDEX.
 */
export async function readTail(fd: FileHandle, size: number): Promise<Tail> {
	if (size < SKIPPABLE_HEADER + TRAILER + SKIPPABLE_HEADER + 8 + SEEK_FOOTER) {
		throw new SlipwayError(
			"E_TRUNCATED",
			`The file ends at byte ${size}, too early for a bundle: its index and its seek table are missing.`,
		);
	}
	const footer = await readExactly(fd, size - SEEK_FOOTER, SEEK_FOOTER);
	if (footer.readUInt32LE(5) !== SEEK_FOOTER_MAGIC) throw await noFooter(fd, size);
	const n = footer.readUInt32LE(0);
	const footerPlace = region.seekTable(size - SEEK_FOOTER, SEEK_FOOTER);
	if (n > MAX_ENTRIES)
		throw new SlipwayError("E_LIMIT", `The ${footerPlace} claims ${n} entries; ${MAX_ENTRIES} are allowed.`);
	const seekSize = SKIPPABLE_HEADER + 8 * n + SEEK_FOOTER;
	const indexEnd = size - seekSize;
	if (n === 0 || indexEnd < SKIPPABLE_HEADER + TRAILER) {
		throw new SlipwayError("E_SEEK_TABLE", `The ${footerPlace} claims ${n} entries, which cannot be in this file.`);
	}
	const seekTable = await readExactly(fd, indexEnd, seekSize);
	if (!seekTable.subarray(0, SKIPPABLE_HEADER).equals(skippableHeader(SEEK_MAGIC, 8 * n + SEEK_FOOTER))) {
		throw new SlipwayError("E_SEEK_TABLE", `The ${region.seekTable(indexEnd, seekSize)} does not begin as one.`);
	}
	const claimed = Math.min(seekTable.readUInt32LE(8 * n), indexEnd); // its last entry
	return { ...(await readIndexFrame(fd, indexEnd, region.index(indexEnd - claimed, claimed))), seekTable };
}

async function readIndexFrame(fd: FileHandle, indexEnd: number, place: string): Promise<Omit<Tail, "seekTable">> {
	const trailer = await readExactly(fd, indexEnd - TRAILER, TRAILER);
	const zero = trailer.readUInt32LE(20) === 0 && trailer.readBigUInt64LE(56) === 0n;
	if (!trailer.subarray(0, 8).equals(TRAILER_MAGIC) || !zero) {
		throw new SlipwayError("E_INDEX", `The ${place} has no trailer at its end.`);
	}
	const payloadSize = Number(trailer.readBigUInt64LE(8));
	const envelopeSize = trailer.readUInt32LE(16);
	limit(payloadSize, MAX_PAYLOAD, place, "16 MiB");
	limit(envelopeSize, MAX_ENVELOPE, `envelope in the ${place}`, "64 KiB");
	const content = payloadSize + envelopeSize + TRAILER;
	const indexOffset = indexEnd - content - SKIPPABLE_HEADER;
	if (indexOffset < 0) throw new SlipwayError("E_INDEX", `The ${place} claims more bytes than the file has.`);
	const frame = await readExactly(fd, indexOffset, SKIPPABLE_HEADER + content);
	if (!frame.subarray(0, SKIPPABLE_HEADER).equals(skippableHeader(INDEX_MAGIC, content))) {
		throw new SlipwayError("E_INDEX", `The ${place} does not begin where its trailer says.`);
	}
	const payload = frame.subarray(SKIPPABLE_HEADER, SKIPPABLE_HEADER + payloadSize);
	const envelope = frame.subarray(SKIPPABLE_HEADER + payloadSize, SKIPPABLE_HEADER + payloadSize + envelopeSize);
	if (sha256Hex(payload) !== trailer.toString("hex", 24, 56)) {
		throw new SlipwayError("E_INDEX", `The ${place} is damaged: its trailer has another digest.`);
	}
	return { payload, envelope, indexOffset };
}

/** Tells bytes behind the end (a copied image of a stick, a second file appended) from a copy that was cut off. */
async function noFooter(fd: FileHandle, size: number): Promise<SlipwayError> {
	const length = Math.min(size, 1024 * 1024);
	const end = await readExactly(fd, size - length, length);
	const magic = Buffer.alloc(4);
	magic.writeUInt32LE(SEEK_FOOTER_MAGIC);
	const at = end.lastIndexOf(magic);
	if (at < 0)
		return new SlipwayError(
			"E_TRUNCATED",
			`The file ends at byte ${size} and its seek table is missing: it is cut off, or not a bundle.`,
		);
	const from = size - length + at + 4;
	return new SlipwayError(
		"E_TRAILING",
		`There are ${size - from} ${region.trailing(from)} behind the end of the bundle.`,
	);
}
