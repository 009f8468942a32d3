import { webcrypto } from "node:crypto";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { SlipwayError } from "./errors.ts";
import { region } from "./regions.ts";

/** One data frame as the index has it: compressed size, plain size, SHA-256 of the compressed bytes. */
export type FrameRecord = readonly [compressed: number, plain: number, sha256: string];

export const MAX_PLAIN = 8 * 1024 * 1024;
const MAX_WINDOW = 8 * 1024 * 1024;
/** Largest block that zstd knows (RFC 8878 section 3.1.1.2.4). */
const BLOCK_MAX = 128 * 1024;
const MAGIC = 0xfd2fb528;
/** Magic, descriptor, window, content size; and the checksum behind the blocks. */
const MAX_FRAME_HEADER = 4 + 1 + 1 + 8;
const CHECKSUM = 4;
/** Descriptor of a canonical raw frame: content size in 4 bytes, single segment, no checksum, no dictionary. */
const RAW_DESCRIPTOR = 0xa0;
const RAW_HEADER = 9;
const BLOCK_HEADER = 3;

const { subtle } = webcrypto;
const inflate = promisify(zstdDecompress);

/** Blocks that a frame of this plain size may have. */
function maxBlocks(plain: number): number {
	return Math.ceil(plain / BLOCK_MAX) + 1;
}

/** The most bytes that a frame of this plain size may take, so that nothing larger is ever allocated. */
export function maxCompressed(plain: number): number {
	return MAX_FRAME_HEADER + maxBlocks(plain) * (BLOCK_HEADER + BLOCK_MAX) + CHECKSUM;
}

/** Bytes that the canonical raw frame of `plain` bytes takes. */
export function rawFrameLength(plain: number): number {
	return RAW_HEADER + Math.ceil(plain / BLOCK_MAX) * BLOCK_HEADER + plain;
}

/** The canonical raw frame: the same bytes whichever program makes them, readable by any zstd. 1 … 2^32-1 bytes. */
export function rawFrame(plain: Uint8Array): Buffer {
	const out = Buffer.allocUnsafe(rawFrameLength(plain.length));
	let at = 0;
	for (const part of layRawFrame(out, plain.length)) {
		part.set(plain.subarray(at, at + part.length));
		at += part.length;
	}
	return out;
}

/** Writes the headers of the canonical raw frame of `plain` bytes to `out` and gives the places between them, to be filled. */
export function layRawFrame(out: Buffer, plain: number): Buffer[] {
	out.writeUInt32LE(MAGIC, 0);
	out[4] = RAW_DESCRIPTOR;
	out.writeUInt32LE(plain, 5);
	const parts: Buffer[] = [];
	let to = RAW_HEADER;
	for (let from = 0; from < plain; from += BLOCK_MAX) {
		const size = Math.min(BLOCK_MAX, plain - from);
		out.writeUIntLE(rawBlock(size, from + size === plain), to, BLOCK_HEADER);
		parts.push(out.subarray(to + BLOCK_HEADER, to + BLOCK_HEADER + size));
		to += BLOCK_HEADER + size;
	}
	return parts;
}

/** Names a frame in every message: number, and the bytes of the file it takes. */
function fault(i: number, offset: number, size: number, what: string, cause?: unknown): SlipwayError {
	return new SlipwayError("E_FRAME", `Data ${region.frame(i, offset, size)} ${what}.`, { cause });
}

/**
 * Checks and decodes one data frame: SHA-256 of the compressed bytes first, then a walk over the block headers, then the
 * decoder with the signed plain size as its cap. Gives the plain bytes in order, of a canonical raw frame as views of
 * `compressed`: nothing is copied. `offset` is where the frame stands in the file, for messages. With `isProvedLater` the
 * digest of a canonical raw frame is left out: its framing is the one that the signed size demands, there is nothing to decode,
 * and the caller proves each plain byte by another digest. Errors: E_FRAME, with the frame's number and byte range.
 */
export async function decodeParts(
	compressed: Buffer,
	record: FrameRecord,
	i: number,
	offset: number,
	isProvedLater = false,
): Promise<readonly Buffer[]> {
	const [size, plain] = record;
	const raw = rawParts(compressed, plain);
	if (raw !== undefined && isProvedLater) return raw;
	await checkFrameDigest(compressed, record, i, offset);
	if (raw !== undefined) return raw;
	const problem = walkFrame(compressed, plain);
	if (problem !== undefined) throw fault(i, offset, size, problem);
	// With zlib's default chunk this takes three times as long; maxOutputLength stops a bomb at its first byte too many.
	const out = await inflate(compressed, { maxOutputLength: plain, chunkSize: Math.max(plain, 64) }).catch(
		(cause: unknown) => {
			throw fault(i, offset, size, "cannot be decoded to its signed size", cause);
		},
	);
	if (out.length !== plain)
		throw fault(i, offset, size, `decodes to ${out.length} bytes where the index says ${plain}`);
	return [out];
}

/** As decodeParts, in one piece of its own. */
export async function decodeFrame(...frame: Parameters<typeof decodeParts>): Promise<Buffer> {
	const parts = await decodeParts(...frame);
	const isOwn = parts.length === 1 && parts[0]!.buffer !== frame[0].buffer;
	return isOwn ? parts[0]! : Buffer.concat(parts);
}

/** Checks a frame's bytes against its record, in the thread pool: a large frame must not stop the event loop. Errors: E_FRAME. */
export async function checkFrameDigest(
	compressed: Buffer,
	record: FrameRecord,
	i: number,
	offset: number,
): Promise<void> {
	const [size, , sha256] = record;
	if (compressed.length !== size) throw fault(i, offset, size, `is cut off after ${compressed.length} bytes`);
	if (Buffer.from(await subtle.digest("SHA-256", compressed)).toString("hex") !== sha256)
		throw fault(i, offset, size, "does not have the digest that the signed index gives");
}

/** The plain bytes of a frame whose every other byte is what the canonical raw frame of that size has; undefined otherwise. */
function rawParts(frame: Buffer, plain: number): Buffer[] | undefined {
	if (frame.length !== rawFrameLength(plain)) return undefined;
	if (frame.readUInt32LE(0) !== MAGIC || frame[4] !== RAW_DESCRIPTOR || frame.readUInt32LE(5) !== plain)
		return undefined;
	const parts: Buffer[] = [];
	let at = RAW_HEADER;
	for (let rest = plain; rest > 0; rest -= BLOCK_MAX) {
		const size = Math.min(BLOCK_MAX, rest);
		if (frame.readUIntLE(at, BLOCK_HEADER) !== rawBlock(size, size === rest)) return undefined;
		at += BLOCK_HEADER;
		parts.push(frame.subarray(at, at + size));
		at += size;
	}
	return parts;
}

/** Header of a raw block. */
function rawBlock(size: number, last: boolean): number {
	return (size << 3) | (last ? 1 : 0);
}

/**
 * Walks frame header and block headers (RFC 8878 section 3.1.1) without decoding: one frame, no dictionary, window at most
 * 8 MiB, no more blocks than the plain size needs, ending exactly where the bytes end. Node's decoder would silently stop
 * after a first frame. Gives what is wrong in words.
 */
export function walkFrame(frame: Buffer, plain: number): string | undefined {
	if (frame.length < 6 || frame.readUInt32LE(0) !== MAGIC) return "is not a zstd frame";
	const header = readFrameHeader(frame);
	if (typeof header === "string") return header;
	if (header.contentSize !== undefined && header.contentSize !== plain)
		return `declares ${header.contentSize} bytes where the index says ${plain}`;
	let at = header.length;
	for (let blocks = 1; ; blocks++) {
		if (blocks > maxBlocks(plain)) return "has more blocks than its size needs";
		if (at + BLOCK_HEADER > frame.length) return "ends inside a block";
		const block = frame.readUIntLE(at, BLOCK_HEADER);
		const last = (block & 1) === 1;
		const type = (block >> 1) & 3;
		const size = block >> 3;
		if (type === 3) return "has a block of a reserved type";
		if (size > header.blockMax) return "has a block that is too large";
		at += BLOCK_HEADER + (type === 1 ? 1 : size); // type 1 repeats one byte
		if (last) break;
	}
	if (at + (header.checksum ? CHECKSUM : 0) !== frame.length) return "does not end where the index says";
	return undefined;
}

interface FrameHeader {
	readonly length: number;
	readonly blockMax: number;
	readonly checksum: boolean;
	readonly contentSize: number | undefined;
}

function readFrameHeader(frame: Buffer): FrameHeader | string {
	const descriptor = frame[4]!;
	const single = (descriptor & 0x20) !== 0;
	if ((descriptor & 0x18) !== 0) return "sets a reserved bit";
	if ((descriptor & 0x03) !== 0) return "asks for a dictionary";
	const sizeFlag = descriptor >> 6;
	const sizeBytes = sizeFlag === 0 ? (single ? 1 : 0) : 2 ** sizeFlag;
	const length = 5 + (single ? 0 : 1) + sizeBytes;
	if (frame.length < length) return "ends inside its header";
	const contentSize = sizeBytes === 0 ? undefined : readSize(frame, length - sizeBytes, sizeBytes);
	const window = single ? contentSize! : windowSize(frame[5]!);
	if (window > MAX_WINDOW) return `needs a window of ${window} bytes; 8 MiB are allowed`;
	return { length, blockMax: Math.min(window, BLOCK_MAX), checksum: (descriptor & 0x04) !== 0, contentSize };
}

function readSize(frame: Buffer, at: number, bytes: number): number {
	if (bytes === 8) return Number(frame.readBigUInt64LE(at));
	return frame.readUIntLE(at, bytes) + (bytes === 2 ? 256 : 0);
}

function windowSize(byte: number): number {
	const base = 2 ** (10 + (byte >> 3));
	return base + (base / 8) * (byte & 7);
}
