/**
 * Buffers of one size that are used again. Fresh ones cost page faults and garbage collection, which on bulk data take
 * longer than the hashing.
 */
export class BufferPool {
	readonly #size: number;
	readonly #free: Buffer[] = [];

	constructor(size: number) {
		this.#size = size;
	}

	/** A buffer of the pool's size, with whatever it held before. */
	take(): Buffer {
		return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#size);
	}

	/** Gives back a buffer that `take` gave; nothing may use it or a view of it any more. */
	give(buffer: Buffer): void {
		this.#free.push(buffer);
	}
}

/** What is left of the buffers, taken as one, behind their first `bytes`. */
export function skipBytes<T extends Uint8Array>(buffers: readonly T[], bytes: number): T[] {
	let rest = bytes;
	return buffers.flatMap((buffer) => {
		const cut = Math.min(rest, buffer.length);
		rest -= cut;
		return cut === buffer.length ? [] : [buffer.subarray(cut) as T];
	});
}
