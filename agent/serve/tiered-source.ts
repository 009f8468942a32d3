import type { BlobSource } from "../registry/lookup.ts";
import type { StoreSource } from "../store/source.ts";
import type { BundleSource } from "./bundle-source.ts";

/** Serves what the store has from there, and the rest out of the bundles: while a load runs, and while lost blobs are loaded again. */
export class TieredSource implements BlobSource {
	readonly #store: StoreSource;
	readonly #bundles: BundleSource;

	constructor(store: StoreSource, bundles: BundleSource) {
		this.#store = store;
		this.#bundles = bundles;
	}

	/** Documents come out of the bundles as long as they can: their few frames are at hand, while the disk is busy with the load. */
	async read(digest: string, size: number): Promise<Buffer> {
		if (!this.#bundles.has(digest)) return this.#store.read(digest, size);
		return this.#bundles.read(digest, size).catch(async (error) => {
			if (await this.#store.has(digest, size)) return this.#store.read(digest, size);
			throw error;
		});
	}

	async stream(digest: string, size: number, start: number, end: number): Promise<AsyncIterable<Buffer>> {
		if (!this.#bundles.has(digest)) return this.#store.stream(digest, size, start, end);
		if (!(await this.#store.has(digest, size))) return this.#bundles.stream(digest, size, start, end);
		return this.#either(digest, size, start, end);
	}

	/** What turns out bad in the store before anything of it was sent comes out of the bundle. */
	async *#either(...blob: Parameters<BlobSource["stream"]>): AsyncGenerator<Buffer> {
		let begun = false;
		try {
			for await (const piece of await this.#store.stream(...blob)) {
				begun = true;
				yield piece;
			}
			return;
		} catch (error) {
			if (begun) throw error;
		}
		yield* await this.#bundles.stream(...blob);
	}
}
