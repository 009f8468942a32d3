import { createHash, type Hash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { type Digest, parseDigest } from "./digest.ts";
import { SlipwayError } from "./errors.ts";
import { checkFrameDigest, MAX_PLAIN } from "./frames.ts";
import { tarEntries } from "./index-check.ts";
import { type Bundle, framePlace, framesOf, readCompressed, readParts, tarPlace } from "./reader.ts";
import { inRegion, within } from "./regions.ts";
import { entryLength, headerLength, TarChecker } from "./tar.ts";

export interface DataOptions {
	/**
	 * Blobs that need not be proved again, because they are stored already, verified by their own digests. A frame that holds
	 * nothing but such blobs is neither read nor decoded. That is sound: nothing is taken out of it, names come from the signed
	 * index alone, and `.sig.bin`, which verifyContents demands in any case, covers its bytes like all others.
	 */
	readonly skip?: (digest: Digest) => boolean;
	/** Pieces of a blob, in order; what they are is proved by `onBlob`. They are the callee's until its promise settles. */
	readonly onBlobData?: (digest: Digest, pieces: readonly Buffer[]) => void | Promise<void>;
	/**
	 * The digest, in hex, of a blob's bytes as the callee of onBlobData has them: for one who hashes on a thread of its own, a
	 * step behind. The pass goes on meanwhile. Default: they are hashed here.
	 */
	readonly digestOf?: (digest: Digest) => Promise<string>;
	/** The blob is complete and has its digest. The whole-file signature may still fail: commit only after verifyContents. */
	readonly onBlob?: (digest: Digest, size: number) => void | Promise<void>;
	/**
	 * Prove a frame that holds plain bytes as they are (the canonical raw frame) by those bytes: tar headers are compared, blobs
	 * have their digests. For a load, which has to be fast and lays every byte down under such a digest. Its own digest, which readers of
	 * single frames go by, is then not looked at; default: it is.
	 */
	readonly provesRawByContent?: boolean;
	readonly signal?: AbortSignal;
}

/** Frames in flight: enough to keep disk and decoder busy, little enough to bound memory. */
const FRAMES_AHEAD = 5;
const BYTES_AHEAD = 2 * MAX_PLAIN;
/** Bytes hashed on this thread before others get their turn: half a millisecond. */
const TURN = 512 * 1024;

/** Throws E_INTERRUPTED once the signal is given. */
export function assertGoing(signal: AbortSignal | undefined): void {
	if (signal?.aborted === true) throw new SlipwayError("E_INTERRUPTED", "Verification was stopped.");
}

/**
 * Checks every frame in order, every byte of the tar and every blob's digest, but for the blobs to skip. A frame that is to be
 * decoded is proved by its own digest first; one that only has plain bytes in it is proved by what they are. `onRead` is told up
 * to which byte of the file nothing is needed any more, and is waited for. Gives the frames whose digests were not looked at.
 * Errors: those of readFrame and TarChecker; E_DIGEST_MISMATCH, E_INTERRUPTED, and what the callbacks throw.
 */
export async function verifyData(
	bundle: Bundle,
	options: DataOptions,
	onRead: (done: number) => void | Promise<void>,
): Promise<readonly number[]> {
	const { files, blobs, frames } = bundle.index;
	const skip = new Set(options.skip === undefined ? [] : blobs.map((b) => b.digest).filter(options.skip));
	const needed = neededFrames(bundle, skip);
	const checker = new TarChecker(tarEntries(bundle.index));
	const hashing = new BlobHash();
	const proving = new Proving();
	// With something skipped, a frame may hold bytes that nothing else here looks at.
	const isProvedLater = options.provesRawByContent === true && skip.size === 0;
	const prove = async (
		{ digest, size, tarOffset }: Bundle["index"]["blobs"][number],
		hex: string | Promise<string>,
	) => {
		const found = await hex;
		if (found !== parseDigest(digest).hex) {
			const fault = new SlipwayError("E_DIGEST_MISMATCH", `The bytes of ${digest} have the digest ${found}.`);
			await checkFrames(bundle, framesOf(bundle, tarOffset, size), options.signal);
			throw inRegion(tarPlace(bundle, tarOffset, size), fault);
		}
		await options.onBlob?.(digest, size);
	};
	let next = 0;
	try {
		for await (const [i, parts] of readAhead(bundle, needed, isProvedLater)) {
			assertGoing(options.signal);
			for (; next < i; next++) checker.skip(frames[next]![1]);
			next = i + 1;
			for (const { entry, pieces, last } of await takeParts(bundle, i, checker, parts, options.signal)) {
				const blob = blobs[entry - files.length];
				// The layout's two files have been read and compared already, as what is skipped has: only the tar around it counts.
				if (blob === undefined || skip.has(blob.digest)) continue;
				// Writing goes on in the background while this thread hashes.
				const stored = Promise.resolve(options.onBlobData?.(blob.digest, pieces));
				stored.catch(() => undefined); // told below
				if (options.digestOf === undefined) await hashing.update(blob.digest, pieces);
				await stored;
				if (!last) continue;
				if (options.digestOf === undefined) await prove(blob, hashing.end());
				else await proving.start(prove(blob, options.digestOf(blob.digest)));
			}
			const { offset, size } = bundle.dataRegion(i);
			await onRead(offset + size);
		}
		await proving.settled();
	} finally {
		await proving.settled().catch(() => undefined); // nothing of it goes on behind a failure
	}
	within(framePlace(bundle, frames.length - 1), () => checker.end());
	const proved = new Set(isProvedLater ? [] : needed);
	return frames.map((_, i) => i).filter((i) => !proved.has(i));
}

/** Finds the bad one among frames, for the message, once something is known to be wrong. Errors: E_FRAME. */
export async function checkFrames(bundle: Bundle, frames: readonly number[], signal?: AbortSignal): Promise<void> {
	for (const i of frames) {
		assertGoing(signal);
		await checkFrameDigest(await readCompressed(bundle, i), bundle.index.frames[i]!, i, bundle.dataRegion(i).offset);
	}
}

/** The blob that is being proved while the next one is read: one at a time. */
class Proving {
	#task: Promise<void> = Promise.resolve();

	async start(task: Promise<void>): Promise<void> {
		task.catch(() => undefined); // told with the next one, or at the end
		// Whoever waits for the end waits for this one too, also when the one before has failed.
		await this.#task.finally(() => {
			this.#task = task;
		});
	}

	settled(): Promise<void> {
		return this.#task;
	}
}

/** Digest of one blob after the other, in turns with whatever else this thread has to do. */
class BlobHash {
	#hash: Hash | undefined;
	#turn = 0;

	async update(digest: Digest, pieces: readonly Buffer[]): Promise<void> {
		this.#hash ??= createHash(parseDigest(digest).algorithm);
		for (const piece of pieces) {
			for (let at = 0; at < piece.length; at += TURN) {
				const part = piece.subarray(at, at + TURN);
				this.#turn += part.length;
				if (this.#turn > TURN) {
					this.#turn = part.length;
					await setImmediate();
				}
				this.#hash.update(part);
			}
		}
	}

	end(): string {
		const found = this.#hash!.digest("hex");
		this.#hash = undefined;
		return found;
	}
}

interface EntryData {
	readonly entry: number;
	readonly pieces: Buffer[];
	last: boolean;
}

/** What a frame holds of each entry. Errors: those of TarChecker; E_FRAME where the reason is a damaged frame. */
async function takeParts(
	bundle: Bundle,
	i: number,
	checker: TarChecker,
	parts: readonly Buffer[],
	signal: AbortSignal | undefined,
): Promise<EntryData[]> {
	try {
		return within(framePlace(bundle, i), () => entriesIn(checker, parts));
	} catch (fault) {
		await checkFrames(bundle, [Math.max(0, i - 1), i], signal); // a header may begin in the frame before
		throw fault;
	}
}

function entriesIn(checker: TarChecker, parts: readonly Buffer[]): EntryData[] {
	const found: EntryData[] = [];
	for (const part of parts) {
		for (const { entry, data, last } of checker.push(part)) {
			const known = found.at(-1);
			if (known?.entry !== entry) found.push({ entry, pieces: [data], last });
			else {
				known.pieces.push(data);
				known.last = last;
			}
		}
	}
	return found;
}

/** Frames with a byte of an entry that is not to be skipped, or of the tar's end, in order. */
function neededFrames(bundle: Bundle, skip: ReadonlySet<Digest>): number[] {
	const { files, blobs, frames } = bundle.index;
	if (skip.size === 0) return frames.map((_, i) => i);
	const needed = new Set([frames.length - 1]);
	for (const [n, entry] of tarEntries(bundle.index).entries()) {
		const blob = blobs[n - files.length];
		if (blob !== undefined && skip.has(blob.digest)) continue;
		const start = (blob ?? files[n]!).tarOffset - headerLength(entry);
		const last = bundle.frameAt(start + entryLength(entry) - 1).frame;
		for (let i = bundle.frameAt(start).frame; i <= last; i++) needed.add(i);
	}
	return [...needed].sort((a, b) => a - b);
}

/**
 * Frames in order, decoded a few ahead; each is valid until the next is asked for. Settles everything it started before it
 * ends, so that the descriptor can be closed.
 */
async function* readAhead(
	bundle: Bundle,
	wanted: readonly number[],
	isProvedLater: boolean,
): AsyncGenerator<[frame: number, parts: readonly Buffer[]], void, void> {
	const { frames } = bundle.index;
	const largest = { compressed: 0, plain: 0 };
	for (const [compressed, plain] of frames) {
		largest.compressed = Math.max(largest.compressed, compressed);
		largest.plain = Math.max(largest.plain, plain);
	}
	const ahead = Math.max(2, Math.min(FRAMES_AHEAD, Math.floor(BYTES_AHEAD / largest.plain)));
	const rooms = Array.from({ length: ahead }, () => Buffer.allocUnsafeSlow(largest.compressed));
	const start = (n: number) => {
		const frame = readParts(bundle, wanted[n]!, rooms[n % ahead]!, isProvedLater);
		frame.catch(() => undefined); // told when its turn comes
		return frame;
	};
	const flight = wanted.slice(0, ahead).map((_, n) => start(n));
	try {
		for (const [n, i] of wanted.entries()) {
			yield [i, await flight.shift()!];
			if (n + ahead < wanted.length) flight.push(start(n + ahead)); // in the room that this frame has left
		}
	} finally {
		await Promise.allSettled(flight);
	}
}
