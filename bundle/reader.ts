import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { type Digest, parseDigest, sha256Hex } from "./digest.ts";
import { type DetachedEnvelope, parseDetachedEnvelope } from "./dsse.ts";
import { SlipwayError } from "./errors.ts";
import { decodeFrame, decodeParts } from "./frames.ts";
import { parseIndex } from "./index-check.ts";
import type { BundleIndex } from "./index-schema.ts";
import { openRegular, type RegularFile, readExactly } from "./read.ts";
import { inRegion, region } from "./regions.ts";
import { encodeSeekTable, readTail, type Tail } from "./tail.ts";

/** An open bundle whose structure is sound. Whether to trust it is verify.ts's question. */
export interface Bundle {
	readonly path: string;
	readonly size: number;
	/** The signed bytes, and what they say. */
	readonly payload: Buffer;
	readonly index: BundleIndex;
	/** SHA-256 of the payload, hex: the identity of the bundle. */
	readonly indexDigest: string;
	readonly envelope: DetachedEnvelope;
	readonly fd: FileHandle;
	/** Where the index stands, in the words of regions.ts. */
	readonly indexPlace: string;
	/** The index's record of a blob, if the bundle holds it. */
	blob(digest: Digest): BundleIndex["blobs"][number] | undefined;
	/** Where a data frame stands in the file, in bytes. */
	dataRegion(frame: number): { offset: number; size: number };
	/** The frame that holds a byte of the tar, and where in the plain tar that frame begins. */
	frameAt(tarOffset: number): { frame: number; start: number };
	/** Throws E_SOURCE_CHANGED if the file was written to or replaced in place since it was opened. */
	assertUnchanged(): Promise<void>;
	close(): Promise<void>;
}

export interface OpenOptions {
	/** Called with the payload and its signatures before the payload is parsed; throws to refuse. */
	readonly authenticate?: (payload: Buffer, envelope: DetachedEnvelope) => void;
}

/**
 * Opens a bundle through one descriptor, never following a link in the last path segment; everything later reads from this
 * descriptor. Checks trailer, index, seek table and coverage: every byte of the file belongs to a data frame, the index
 * frame or the seek table. Reads the tail only, so the size of the content does not matter.
 * Errors: E_IO, E_TRUNCATED, E_TRAILING, E_LIMIT, E_SEEK_TABLE, E_INDEX, E_FORMAT and those of parseIndex.
 */
export async function openBundle(path: string, options: OpenOptions = {}): Promise<Bundle> {
	const file = await openRegular(path);
	try {
		return await readBundle(path, file, options);
	} catch (error) {
		await file.close();
		throw error;
	}
}

async function readBundle(path: string, file: RegularFile, options: OpenOptions): Promise<Bundle> {
	const { fd, size } = file;
	const tail = await readTail(fd, size);
	const indexEnd = size - tail.seekTable.length;
	const indexFrameSize = indexEnd - tail.indexOffset;
	const place = region.index(tail.indexOffset, indexFrameSize);
	const { envelope, index } = readIndex(tail, place, options);
	if (index.dataLength !== tail.indexOffset) {
		throw new SlipwayError(
			"E_INDEX",
			`The ${place} says that the data ends at byte ${index.dataLength}; it ends at ${tail.indexOffset}.`,
		);
	}
	if (!encodeSeekTable(index.frames, indexFrameSize).equals(tail.seekTable)) {
		const table = region.seekTable(indexEnd, tail.seekTable.length);
		throw new SlipwayError("E_SEEK_TABLE", `The ${table} is not the one that the signed index gives.`);
	}
	const offsets = sums(index.frames.map(([compressed]) => compressed));
	const starts = sums(index.frames.map(([, plain]) => plain));
	const blobs = new Map(index.blobs.map((blob) => [blob.digest, blob]));
	return {
		path,
		size,
		payload: tail.payload,
		index,
		indexDigest: sha256Hex(tail.payload),
		envelope,
		fd,
		indexPlace: place,
		blob: (digest) => blobs.get(digest),
		dataRegion: (frame) => ({ offset: offsets[frame]!, size: index.frames[frame]![0] }),
		frameAt: (tarOffset) => {
			const frame = lastAtMost(starts, tarOffset);
			return { frame, start: starts[frame]! };
		},
		assertUnchanged: file.assertUnchanged,
		close: file.close,
	};
}

function readIndex(tail: Tail, place: string, options: OpenOptions): Pick<Bundle, "envelope" | "index"> {
	try {
		const envelope = parseDetachedEnvelope(tail.envelope);
		options.authenticate?.(tail.payload, envelope);
		return { envelope, index: parseIndex(tail.payload) };
	} catch (error) {
		throw inRegion(place, error);
	}
}

/** Running sums, each before its own element. */
function sums(values: readonly number[]): Float64Array {
	const out = new Float64Array(values.length);
	for (let i = 0, sum = 0; i < values.length; sum += values[i++]!) out[i] = sum;
	return out;
}

/** Index of the last element that is not above `value`; the array ascends and starts at 0. */
function lastAtMost(ascending: Float64Array, value: number): number {
	let low = 0;
	let high = ascending.length - 1;
	while (low < high) {
		const middle = (low + high + 1) >> 1;
		if (ascending[middle]! <= value) low = middle;
		else high = middle - 1;
	}
	return low;
}

/** Bytes of a data frame as they are in the file, into `room` if given. Errors: E_TRUNCATED, E_IO, with the frame. */
export function readCompressed(bundle: Bundle, i: number, room?: Buffer): Promise<Buffer> {
	const { offset, size } = bundle.dataRegion(i);
	return readExactly(bundle.fd, offset, size, room).catch((error) => {
		throw inRegion(framePlace(bundle, i), error);
	});
}

/**
 * Reads one data frame and gives its plain bytes. Its digest is checked before anything is decoded, so with an
 * authenticated index the bytes are authentic. Errors: E_FRAME, E_TRUNCATED, E_IO.
 */
export async function readFrame(bundle: Bundle, i: number): Promise<Buffer> {
	return decodeFrame(await readCompressed(bundle, i), bundle.index.frames[i]!, i, bundle.dataRegion(i).offset);
}

/** As readFrame, in pieces that may be views of `room`, which must hold the compressed size; see decodeParts. */
export async function readParts(
	bundle: Bundle,
	i: number,
	room: Buffer,
	isProvedLater = false,
): Promise<readonly Buffer[]> {
	const compressed = await readCompressed(bundle, i, room);
	return decodeParts(compressed, bundle.index.frames[i]!, i, bundle.dataRegion(i).offset, isProvedLater);
}

/** The frames that hold a stretch of the tar, in order. */
export function framesOf(bundle: Bundle, tarOffset: number, size: number): number[] {
	const first = bundle.frameAt(tarOffset).frame;
	const last = bundle.frameAt(tarOffset + Math.max(0, size - 1)).frame;
	return Array.from({ length: last - first + 1 }, (_, n) => first + n);
}

/** The same in the words of regions.ts. */
export function tarPlace(bundle: Bundle, tarOffset: number, size: number): string {
	const frames = framesOf(bundle, tarOffset, size);
	const [first, last] = [frames[0]!, frames.at(-1)!];
	return first === last ? framePlace(bundle, first) : `${framePlace(bundle, first)} to ${framePlace(bundle, last)}`;
}

/** A data frame, in the words of regions.ts. */
export function framePlace(bundle: Bundle, frame: number): string {
	const { offset, size } = bundle.dataRegion(frame);
	return region.frame(frame, offset, size);
}

/** Reads pieces of the tar, keeping the last frame: small blobs share frames. */
export function tarReader(bundle: Bundle): (tarOffset: number, size: number) => Promise<Buffer> {
	let kept: { frame: number; plain: Buffer } | undefined;
	return async (tarOffset, size) => {
		const out = Buffer.allocUnsafe(size);
		for (let done = 0; done < size; ) {
			const { frame, start } = bundle.frameAt(tarOffset + done);
			if (kept?.frame !== frame) kept = { frame, plain: await readFrame(bundle, frame) };
			done += kept.plain.copy(out, done, tarOffset + done - start);
		}
		return out;
	};
}

/**
 * Reads one whole blob of at most `max` bytes and checks its digest: for manifests and other small documents.
 * Errors: E_BLOB_MISSING, E_LIMIT, E_DIGEST_MISMATCH and those of readFrame.
 */
export async function readBlob(bundle: Bundle, digest: Digest, max: number, read = tarReader(bundle)): Promise<Buffer> {
	const record = bundle.blob(digest);
	if (record === undefined) {
		throw inRegion(bundle.indexPlace, new SlipwayError("E_BLOB_MISSING", `The bundle does not hold ${digest}.`));
	}
	const refuse = (code: "E_LIMIT" | "E_DIGEST_MISMATCH", what: string) =>
		inRegion(tarPlace(bundle, record.tarOffset, record.size), new SlipwayError(code, what));
	if (record.size > max)
		throw refuse("E_LIMIT", `The blob ${digest} has ${record.size} bytes; ${max} are allowed here.`);
	const bytes = await read(record.tarOffset, record.size);
	const { algorithm, hex } = parseDigest(digest);
	if (createHash(algorithm).update(bytes).digest("hex") !== hex) {
		throw refuse("E_DIGEST_MISMATCH", `The bytes of ${digest} have another digest.`);
	}
	return bytes;
}
