import { createHash, type Hash } from "node:crypto";
import { Readable } from "node:stream";
import { parseDigest } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import type { BlobSource } from "../registry/lookup.ts";
import type { Store } from "./store.ts";

const CHUNK = 1 << 18;

/**
 * Serves blobs out of the store. The first whole read of a blob after a start hashes it on the way and holds the last piece
 * back until the digest is right, so that bytes which went bad on disk never make a complete answer; what was found right
 * once is then sent straight from the file. A bad blob is dropped from the store and told to `onBad`.
 */
export class StoreSource implements BlobSource {
	readonly #store: Store;
	readonly #onBad: (error: SlipwayError) => void;
	readonly #checked = new Set<string>();

	constructor(store: Store, onBad: (error: SlipwayError) => void) {
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
			for await (const _ of this.#checkedParts(digest, size)); // a part cannot be checked without the whole
		}
		const handle = await this.#store.open(digest);
		return handle.createReadStream({ start, end, highWaterMark: CHUNK });
	}

	/** The blob's bytes; the last piece only comes when size and digest are right, else E_DIGEST_MISMATCH is thrown. */
	async *#checkedParts(digest: string, size: number): AsyncGenerator<Buffer> {
		const hash = createHash(parseDigest(digest).algorithm);
		const handle = await this.#store
			.open(digest)
			.catch((error: NodeJS.ErrnoException) => this.#bad(digest, String(error.code)));
		try {
			let held: Buffer | undefined;
			let seen = 0;
			for (;;) {
				const buffer = Buffer.allocUnsafe(CHUNK);
				const { bytesRead } = await handle.read(buffer, 0, CHUNK, seen);
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
		this.#onBad(error);
		throw error;
	}
}

function matches(hash: Hash, digest: string): boolean {
	return hash.digest("hex") === parseDigest(digest).hex;
}
