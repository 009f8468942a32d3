import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import type { BufferPool } from "./buffers.ts";
import { blobFile } from "./contents.ts";
import { blobPath, type Digest, parseDigest } from "./digest.ts";
import { SlipwayError } from "./errors.ts";
import { layRawFrame, rawFrameLength } from "./frames.ts";
import { fill } from "./read.ts";
import { entryLength, type TarEntry, tarHeader } from "./tar.ts";

/** Plain bytes of a frame. Small, so that many clients served in place cost little memory. */
export const SLOT = 1024 * 1024;

/** An entry of the tar as frames' plain bytes: header, data, padding, cut every SLOT bytes. */
export function* bufferSlots(entry: TarEntry, data: Buffer): Generator<Buffer> {
	const whole = Buffer.alloc(entryLength(entry));
	const header = tarHeader(entry);
	header.copy(whole);
	data.copy(whole, header.length);
	for (let at = 0; at < whole.length; at += SLOT) yield whole.subarray(at, at + SLOT);
}

/** One slot of a blob, in a buffer of the pool, to be given back. */
export interface Slot {
	readonly buffer: Buffer;
	/** Plain bytes in it. */
	readonly plain: number;
	/** The plain bytes, or already the canonical raw frame of them. */
	readonly bytes: Buffer;
	readonly raw: boolean;
}

/** Room for a slot in either shape. */
export const SLOT_BUFFER = rawFrameLength(SLOT);

/**
 * A blob of the blob folder as slots. Its digest is checked on the way: the last slot comes only if it is right. The next
 * slot is read while the caller works on this one; `raw` is asked each time which shape is wanted.
 * Errors: E_BLOB_MISSING, E_DIGEST_MISMATCH, E_IO, E_TRUNCATED.
 */
export async function* blobSlots(
	blobDir: string,
	blob: { digest: Digest; size: number },
	pool: BufferPool,
	raw: () => boolean = () => false,
): AsyncGenerator<Slot> {
	const { digest, size } = blob;
	const { algorithm, hex } = parseDigest(digest);
	const entry = { name: blobPath(digest), size };
	const hash = createHash(algorithm);
	const fd = await open(blobFile(blobDir, digest)).catch((cause: unknown) => {
		throw new SlipwayError("E_BLOB_MISSING", `The blob ${digest} is not in ${blobDir}.`, { cause });
	});
	const reader = { fd, entry, header: tarHeader(entry), pool };
	const total = entryLength(entry);
	let ahead: ReturnType<typeof readSlot> | undefined;
	try {
		for (let at = 0; at < total; at += SLOT) {
			const { slot, data } = await (ahead ?? readSlot(reader, at, raw()));
			ahead = at + SLOT < total ? readSlot(reader, at + SLOT, raw()) : undefined;
			ahead?.catch(() => undefined); // told when its turn comes
			for (const part of data) hash.update(part);
			if (ahead === undefined && hash.digest("hex") !== hex) {
				throw new SlipwayError("E_DIGEST_MISMATCH", `The bytes of ${digest} in ${blobDir} have another digest.`);
			}
			yield slot;
		}
	} finally {
		await ahead?.catch(() => undefined);
		await fd.close();
	}
}

interface SlotReader {
	readonly fd: FileHandle;
	readonly entry: TarEntry;
	readonly header: Buffer;
	readonly pool: BufferPool;
}

/** Reads the slot that begins at byte `at` of the entry. `data`: the parts of it that are the blob's own bytes. */
async function readSlot(
	{ fd, entry, header, pool }: SlotReader,
	at: number,
	raw: boolean,
): Promise<{ slot: Slot; data: Buffer[] }> {
	const plain = Math.min(SLOT, entryLength(entry) - at);
	const buffer = pool.take();
	const bytes = buffer.subarray(0, raw ? rawFrameLength(plain) : plain);
	const parts = raw ? layRawFrame(bytes, plain) : [bytes];
	const dataFrom = Math.max(0, at - header.length);
	const front = header.subarray(at, at + plain);
	const dataSize = Math.max(0, Math.min(entry.size - dataFrom, plain - front.length));
	put(front, parts);
	const data = stretch(parts, front.length, front.length + dataSize);
	await fill(fd, dataFrom, data);
	for (const part of stretch(parts, front.length + dataSize, plain)) part.fill(0);
	return { slot: { buffer, plain, bytes, raw }, data };
}

function put(bytes: Buffer, parts: readonly Buffer[]): void {
	let at = 0;
	for (const part of parts) at += bytes.copy(part, 0, at);
}

/** Bytes `from` to `to` of the parts, taken as one. */
function stretch(parts: readonly Buffer[], from: number, to: number): Buffer[] {
	let start = 0;
	return parts.flatMap((part) => {
		const piece = part.subarray(Math.max(0, from - start), Math.max(0, to - start));
		start += part.length;
		return piece.length === 0 ? [] : [piece];
	});
}
