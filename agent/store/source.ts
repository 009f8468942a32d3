import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { parseDigest } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import type { BlobSource } from "../registry/lookup.ts";
import { type Evidence, evidenceOf, sameEvidence } from "./evidence.ts";
import { pieces } from "./pieces.ts";
import type { Store } from "./store.ts";

/** Bytes that are held back until a verdict that another reading gives. */
const HELD = 1 << 18;

/**
 * Serves blobs out of the store. The first whole read of a blob after a start hashes it on the way and holds the last piece
 * back until the digest is right, so that bytes which went bad on disk never make a complete answer; what was found right
 * once is sent straight from the file as long as that looks as it did then. A blob that is proved bad or missing goes into
 * quarantine and is told to `onBad`; one that cannot be read just now is E_IO and stays.
 */
export class StoreSource implements BlobSource {
	readonly store: Store;
	readonly #onBad: (digest: string, error: SlipwayError) => void;
	readonly #checking = new Map<string, Promise<void>>();
	/** Blobs that someone's reading is just hashing. */
	readonly #hashing = new Set<string>();
	#readers = 0;

	constructor(store: Store, onBad: (digest: string, error: SlipwayError) => void) {
		this.store = store;
		this.#onBad = onBad;
	}

	/** Whether someone is just reading. */
	get busy(): boolean {
		return this.#readers > 0;
	}

	/** Whether the store has that blob, as it was verified. */
	async has(digest: string, size: number): Promise<boolean> {
		return (await this.store.trusted(digest, size)) !== undefined;
	}

	async read(digest: string, size: number): Promise<Buffer> {
		const parts: Buffer[] = [];
		for await (const part of this.#open(digest, (handle) => this.#checkedParts(handle, digest, size)))
			parts.push(Buffer.from(part));
		return Buffer.concat(parts);
	}

	async stream(digest: string, size: number, start: number, end: number): Promise<AsyncIterable<Buffer>> {
		return this.#open(digest, (handle) => this.#send(handle, digest, size, start, end + 1));
	}

	/**
	 * Takes a blob that was found damaged out of the store and tells it. Nothing is told when a repair has replaced the file
	 * that was `seen`.
	 */
	async condemn(digest: string, fault: string, seen?: Evidence): Promise<SlipwayError> {
		const error = new SlipwayError("E_DIGEST_MISMATCH", `The stored blob ${digest} is damaged: ${fault}.`, {
			next: "Insert the medium: the blob is loaded again. If that happens more than once, replace the disk.",
		});
		if (await this.store.quarantine(digest, seen)) this.#onBad(digest, error);
		return error;
	}

	/** Reads the whole blob once, however many ask for parts of it at the same time. */
	#check(digest: string, size: number): Promise<void> {
		const known = this.#checking.get(digest);
		if (known !== undefined) return known;
		const check = (async () => {
			for await (const _ of this.#open(digest, (handle) => this.#checkedParts(handle, digest, size)));
		})().finally(() => this.#checking.delete(digest));
		this.#checking.set(digest, check);
		return check;
	}

	/**
	 * Reads the blob's file, which is open only so long. A missing file that the store still needs, or one with sectors that
	 * cannot be read, is a bad blob; other trouble says nothing about its bytes. Errors: E_DIGEST_MISMATCH, E_IO.
	 */
	async *#open(digest: string, read: (handle: FileHandle) => AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
		this.#readers++;
		let handle: FileHandle | undefined;
		try {
			handle = await this.store.open(digest);
			yield* read(handle);
		} catch (cause) {
			if (cause instanceof SlipwayError) throw cause;
			const { code } = cause as NodeJS.ErrnoException;
			if (code === "ENOENT" && this.store.needs(digest)) throw await this.condemn(digest, "its file is missing");
			if (code === "EIO") await this.condemn(digest, "its file cannot be read");
			throw new SlipwayError("E_IO", `The stored blob ${digest} cannot be read: ${code}.`, { cause });
		} finally {
			this.#readers--;
			await handle?.close();
		}
	}

	/** Bytes of a blob that was found right since the start. */
	async *#part(handle: FileHandle, digest: string, from: number, to: number): AsyncGenerator<Buffer> {
		let at = from;
		for await (const piece of pieces(handle, from, to)) {
			yield piece;
			at += piece.length;
		}
		if (at < to) throw await this.condemn(digest, `it ends at byte ${at}`);
	}

	/** Sends a file that was found right as it is; any other is hashed: on its way out where the whole is asked for, else before. */
	async *#send(handle: FileHandle, digest: string, size: number, from: number, to: number): AsyncGenerator<Buffer> {
		const seen = evidenceOf(await handle.stat({ bigint: true }));
		if (from < to && !this.#isProved(digest, seen)) {
			if (from === 0 && to === size) {
				const read = this.#hashing.has(digest) ? this.#alongside : this.#checkedParts;
				return yield* read.call(this, handle, digest, size);
			}
			await this.#prove(digest, size, seen);
		}
		yield* this.#part(handle, digest, from, to);
	}

	/** Whether the bytes of exactly that file were found right since the start. */
	#isProved(digest: string, seen: Evidence): boolean {
		const right = this.store.proved.get(digest);
		return right !== undefined && sameEvidence(seen, right);
	}

	/** Reads the whole blob; the file that was `seen` must then be the one that is right. Errors: E_DIGEST_MISMATCH, E_IO. */
	async #prove(digest: string, size: number, seen: Evidence): Promise<void> {
		await this.#check(digest, size);
		if (!this.#isProved(digest, seen))
			throw new SlipwayError("E_IO", `The stored blob ${digest} was replaced while it was being sent.`);
	}

	/** The blob's bytes; the last piece only comes when size and digest are right. Errors: E_DIGEST_MISMATCH. */
	async *#checkedParts(handle: FileHandle, digest: string, size: number): AsyncGenerator<Buffer> {
		this.#hashing.add(digest);
		try {
			const seen = evidenceOf(await handle.stat({ bigint: true }));
			if (seen[0] !== size) throw await this.condemn(digest, `${seen[0]} bytes instead of ${size}`, seen);
			const hash = createHash(parseDigest(digest).algorithm);
			let held: Buffer | undefined;
			for await (const piece of pieces(handle, 0, size)) {
				if (held !== undefined) yield held;
				held = piece;
				hash.update(piece);
			}
			if (!matches(hash, digest)) throw await this.condemn(digest, "its bytes have another digest", seen);
			this.store.proved.set(digest, seen);
			if (held !== undefined) yield held;
		} finally {
			this.#hashing.delete(digest);
		}
	}

	/**
	 * The same for those who ask while the blob is being hashed for another: many clients want a new image at once, and each
	 * hash would take a core. What they get last waits for the verdict, or for one more reading if that client is slow or gone.
	 */
	async *#alongside(handle: FileHandle, digest: string, size: number): AsyncGenerator<Buffer> {
		const seen = evidenceOf(await handle.stat({ bigint: true }));
		const last = Math.max(0, size - HELD);
		yield* this.#part(handle, digest, 0, last);
		// A blob that was repaired meanwhile is right, but what was sent came from the file before.
		if (!this.#isProved(digest, seen)) await this.#prove(digest, size, seen);
		yield* this.#part(handle, digest, last, size);
	}
}

function matches(hash: Hash, digest: string): boolean {
	return hash.digest("hex") === parseDigest(digest).hex;
}
