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

	async read(digest: string, size: number): Promise<Buffer> {
		return (await this.#pick(digest, size)).read(digest, size);
	}

	async stream(digest: string, size: number, start: number, end: number): Promise<AsyncIterable<Buffer>> {
		return (await this.#pick(digest, size)).stream(digest, size, start, end);
	}

	async #pick(digest: string, size: number): Promise<BlobSource> {
		return (await this.#store.has(digest, size)) || !this.#bundles.has(digest) ? this.#store : this.#bundles;
	}
}
