/** Frames being read and decoded at once. */
const DECODES = 4;
/** Plain bytes of decoded frames that are kept. */
const CACHE = 32 * 2 ** 20;

/**
 * Verified, decoded frames: the ones used last are kept, one that is being made is made once however many wait for it, and
 * only so many are made at a time. So what serving out of bundles costs in memory does not depend on bundles or clients.
 */
export class FrameCache {
	readonly #kept = new Map<string, Buffer>();
	readonly #making = new Map<string, Promise<Buffer>>();
	readonly #waiting: (() => void)[] = [];
	#free = DECODES;
	#bytes = 0;

	/** The frame of that name, made by `make` if it is not at hand. Errors: those of `make`, to everyone who waits for it. */
	get(name: string, make: () => Promise<Buffer>): Promise<Buffer> {
		const kept = this.#kept.get(name);
		if (kept === undefined) return this.#making.get(name) ?? this.#start(name, make);
		this.#kept.delete(name);
		this.#kept.set(name, kept); // a map remembers the order: this one is now the youngest
		return Promise.resolve(kept);
	}

	#start(name: string, make: () => Promise<Buffer>): Promise<Buffer> {
		const frame = this.#make(make)
			.then((plain) => this.#keep(name, plain))
			.finally(() => this.#making.delete(name));
		this.#making.set(name, frame);
		return frame;
	}

	async #make(make: () => Promise<Buffer>): Promise<Buffer> {
		if (this.#free > 0) this.#free--;
		else await new Promise<void>((resolve) => this.#waiting.push(resolve)); // gets the place of one that ends
		try {
			return await make();
		} finally {
			const next = this.#waiting.shift();
			if (next === undefined) this.#free++;
			else next();
		}
	}

	#keep(name: string, plain: Buffer): Buffer {
		this.#kept.set(name, plain);
		this.#bytes += plain.length;
		for (const [oldest, { length }] of this.#kept) {
			if (this.#bytes <= CACHE) break;
			this.#kept.delete(oldest);
			this.#bytes -= length;
		}
		return plain;
	}
}
