import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { parseDigest } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import type { BlobSource } from "../registry/lookup.ts";
import type { Store } from "./store.ts";

const CHUNK = 1 << 18;

/**
 * Serves blobs out of the store. The first whole read of a blob after a start hashes it on the way and holds the last piece
 * back until the digest is right, so that bytes which went bad on disk never make a complete answer; what was found right
 * once is then sent straight from the file. A blob that is proved bad or missing is dropped from the store and told to
 * `onBad`; one that cannot be read just now is E_IO and stays.
 */
export class StoreSource implements BlobSource {
	readonly #store: Store;
	readonly #onBad: (digest: string, error: SlipwayError) => void;
	readonly #checked = new Set<string>();
	readonly #checking = new Map<string, Promise<void>>();

	constructor(store: Store, onBad: (digest: string, error: SlipwayError) => void) {
		this.#store = store;
		this.#onBad = onBad;
	}

	async read(digest: string, size: number): Promise<Buffer> {
		const parts: Buffer[] = [];
		for await (const part of this.#checkedParts(digest, size)) parts.push(part);
		return Buffer.concat(parts);
	}

	async stream(digest: string, size: number, start: number, end: number): Promise<Readable> {
		if (end < start) return Readable.from([]);
		if (!this.#checked.has(digest)) {
			if (start === 0 && end === size - 1)
				return Readable.from(this.#checkedParts(digest, size), { objectMode: false });
			await this.#check(digest, size); // a part cannot be checked without the whole
		}
		const handle = await this.#open(digest);
		return handle.createReadStream({ start, end, highWaterMark: CHUNK });
	}

	/** Reads the whole blob once, however many ask for parts of it at the same time. */
	#check(digest: string, size: number): Promise<void> {
		const known = this.#checking.get(digest);
		if (known !== undefined) return known;
		const check = (async () => {
			for await (const _ of this.#checkedParts(digest, size));
		})().finally(() => this.#checking.delete(digest));
		this.#checking.set(digest, check);
		return check;
	}

	/** A missing file is a bad blob; one that cannot be opened just now says nothing about its bytes. */
	#open(digest: string): Promise<FileHandle> {
		return this.#store.open(digest).catch((error: NodeJS.ErrnoException) => {
			if (error.code === "ENOENT") return this.#bad(digest, "its file is missing");
			throw unreadable(digest, error);
		});
	}

	/** The blob's bytes; the last piece only comes when size and digest are right. Errors: E_DIGEST_MISMATCH, E_IO. */
	async *#checkedParts(digest: string, size: number): AsyncGenerator<Buffer> {
		const hash = createHash(parseDigest(digest).algorithm);
		const handle = await this.#open(digest);
		try {
			let held: Buffer | undefined;
			let seen = 0;
			for (;;) {
				const buffer = Buffer.allocUnsafe(CHUNK);
				const { bytesRead } = await handle.read(buffer, 0, CHUNK, seen).catch((error) => {
					throw unreadable(digest, error);
				});
				if (bytesRead === 0) break;
				if (held !== undefined) yield held;
				held = buffer.subarray(0, bytesRead);
				hash.update(held);
				seen += bytesRead;
				if (seen > size) break;
			}
			if (seen !== size || !matches(hash, digest)) await this.#bad(digest, `${seen} of ${size} bytes read`);
			this.#checked.add(digest);
			if (held !== undefined) yield held;
		} finally {
			await handle.close();
		}
	}

	async #bad(digest: string, detail: string): Promise<never> {
		await this.#store.discard(digest);
		const error = new SlipwayError("E_DIGEST_MISMATCH", `The stored blob ${digest} is damaged (${detail}).`, {
			next: "Restart the agent with the medium inserted: it loads the blob again. If it comes back, replace the disk.",
		});
		this.#onBad(digest, error);
		throw error;
	}
}

function matches(hash: Hash, digest: string): boolean {
	return hash.digest("hex") === parseDigest(digest).hex;
}

function unreadable(digest: string, cause: NodeJS.ErrnoException): SlipwayError {
	return new SlipwayError("E_IO", `The stored blob ${digest} cannot be read: ${cause.code}.`, { cause });
}
