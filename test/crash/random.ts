/** Numbers that depend on the seed alone (mulberry32), so that what failed can be seen again. */
export class Random {
	#state: number;

	constructor(seed: number) {
		this.#state = seed >>> 0;
	}

	/** A whole number from 0 to below `end`. */
	below(end: number): number {
		this.#state = (this.#state + 0x6d2b79f5) >>> 0;
		let t = this.#state;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * end);
	}

	pick<T>(list: readonly T[]): T {
		return list[this.below(list.length)]!;
	}

	/** So many different items of the list. */
	sample<T>(list: readonly T[], count: number): T[] {
		const rest = [...list];
		for (let i = 0; i < count; i++) {
			const j = i + this.below(rest.length - i);
			[rest[i], rest[j]] = [rest[j]!, rest[i]!];
		}
		return rest.slice(0, count);
	}
}
