import { SlipwayError } from "../../bundle/errors.ts";
import type { BlobSource } from "../registry/lookup.ts";
import { holdBack } from "./hold-back.ts";
import type { Medium } from "./medium.ts";

/**
 * Serves blobs straight out of bundles: every byte comes from a frame that was checked against the signed index. The first
 * whole read of a blob is also hashed on the way, because that index could give wrong bytes for a digest.
 */
export class BundleSource implements BlobSource {
	readonly #medium: Medium;
	readonly #onBad: (digest: string, error: SlipwayError) => void;
	readonly #checked = new Set<string>();

	/** `onBad` is told of a blob whose bytes are wrong or cannot be read; that the medium is gone is the medium's to tell. */
	constructor(medium: Medium, onBad: (digest: string, error: SlipwayError) => void) {
		this.#medium = medium;
		this.#onBad = onBad;
	}

	has(digest: string): boolean {
		return this.#medium.find(digest) !== undefined;
	}

	async read(digest: string, size: number): Promise<Buffer> {
		const parts: Buffer[] = [];
		for await (const part of this.#whole(digest, size)) parts.push(Buffer.from(part));
		return Buffer.concat(parts);
	}

	async stream(digest: string, size: number, start: number, end: number): Promise<AsyncIterable<Buffer>> {
		return start === 0 && end === size - 1 ? this.#whole(digest, size) : this.#parts(digest, start, end + 1);
	}

	async *#whole(digest: string, size: number): AsyncGenerator<Buffer> {
		const parts = this.#parts(digest, 0, size);
		if (this.#checked.has(digest)) return yield* parts;
		try {
			yield* holdBack(digest, size, parts);
		} catch (error) {
			if (error instanceof SlipwayError && error.code === "E_DIGEST_MISMATCH") this.#onBad(digest, error);
			throw error;
		}
		this.#checked.add(digest);
	}

	/** Bytes `from` up to `to` of the blob, a frame's worth at a time. Errors: E_BLOB_MISSING, E_MEDIUM_GONE, E_FRAME. */
	#parts(digest: string, from: number, to: number): AsyncGenerator<Buffer> {
		return this.#medium.reading(this.#frames(digest, from, to));
	}

	async *#frames(digest: string, from: number, to: number): AsyncGenerator<Buffer> {
		const medium = this.#medium;
		const found = medium.find(digest);
		if (found === undefined) throw new SlipwayError("E_BLOB_MISSING", `No bundle holds ${digest}.`);
		const { bundle, blob } = found;
		const { frameAt } = medium.bundles[bundle]!;
		const end = blob.tarOffset + to;
		try {
			for (let at = blob.tarOffset + from; at < end; ) {
				const { frame, start } = frameAt(at);
				const { parts, release } = await medium.frame(bundle, frame);
				try {
					for (const piece of within(parts, at - start, end - start)) {
						at += piece.length;
						yield piece;
					}
				} finally {
					release();
				}
			}
		} catch (error) {
			if (error instanceof SlipwayError && ["E_FRAME", "E_IO"].includes(error.code)) this.#onBad(digest, error);
			throw error;
		}
	}
}

/** Bytes `from` up to `to` of the parts taken as one. */
function* within(parts: readonly Buffer[], from: number, to: number): Generator<Buffer> {
	let at = 0;
	for (const part of parts) {
		const piece = part.subarray(Math.max(0, from - at), Math.max(0, to - at));
		at += part.length;
		if (piece.length > 0) yield piece;
	}
}
