import { SlipwayError } from "../../bundle/errors.ts";
import type { BlobSource } from "../registry/lookup.ts";

export interface SizedBlob {
	readonly digest: string;
	readonly size: number;
}

/**
 * Hands a blob out in pieces of any length, from one reading of the source as long as they follow each other: a source checks
 * the digest of what is read whole, and reads twice what is not.
 */
export class BlobReader {
	readonly #source: BlobSource;
	readonly #blob: SizedBlob;
	#parts: AsyncIterator<Buffer> | undefined;
	/** Where the reading stands, and what was read beyond that. */
	#at = 0;
	#rest: Buffer = Buffer.alloc(0);

	constructor(source: BlobSource, blob: SizedBlob) {
		this.#source = source;
		this.#blob = blob;
	}

	/** Exactly `length` bytes from `start`. Errors: the source's, E_DIGEST_MISMATCH when it ends too early. */
	async *take(start: number, length: number): AsyncGenerator<Buffer> {
		if (length === 0) return;
		const parts = await this.#seek(start);
		for (let left = length; left > 0; ) {
			if (this.#rest.length === 0) {
				const next = await parts.next();
				if (next.done) throw this.#short();
				this.#rest = next.value;
			}
			const part = this.#rest.subarray(0, left);
			this.#rest = this.#rest.subarray(part.length);
			this.#at += part.length;
			left -= part.length;
			yield part;
		}
	}

	async close(): Promise<void> {
		await this.#parts?.return?.();
		this.#parts = undefined;
	}

	async #seek(start: number): Promise<AsyncIterator<Buffer>> {
		if (this.#parts !== undefined && this.#at === start) return this.#parts;
		await this.close();
		const { digest, size } = this.#blob;
		const stream = await this.#source.stream(digest, size, start, size - 1);
		this.#at = start;
		this.#rest = Buffer.alloc(0);
		this.#parts = stream[Symbol.asyncIterator]();
		return this.#parts;
	}

	#short(): SlipwayError {
		return new SlipwayError("E_DIGEST_MISMATCH", `The blob ${this.#blob.digest} ended after ${this.#at} bytes.`);
	}
}
