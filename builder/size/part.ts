/** Something that takes up bytes of an ISO; the parts of a part add up to it exactly. */
export interface Part {
	readonly name: string;
	readonly bytes: number;
	/** What it is, or why the number is not exact; where the name does not say it. */
	readonly note?: string;
	readonly parts?: readonly Part[];
}

/** A part made of others; the largest first, empty ones left out. */
export function sumOf(name: string, parts: readonly Part[], note?: string): Part {
	const sorted = parts.filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1));
	const bytes = sorted.reduce((sum, part) => sum + part.bytes, 0);
	return { name, bytes, parts: sorted, ...(note !== undefined && { note }) };
}

/** Puts bytes together by the path of names under which each is counted: `["Packages", "libc6"]`. */
export class PartTree {
	#own = 0;
	readonly #parts = new Map<string, PartTree>();

	/** Of all that was added. */
	get bytes(): number {
		return [...this.#parts.values()].reduce((sum, part) => sum + part.bytes, this.#own);
	}

	add([name, ...rest]: readonly string[], bytes: number): void {
		if (name === undefined) {
			this.#own += bytes;
			return;
		}
		const part = this.#parts.get(name) ?? new PartTree();
		this.#parts.set(name, part);
		part.add(rest, bytes);
	}

	toPart(name: string): Part {
		if (this.#parts.size === 0) return { name, bytes: this.#own };
		const parts = [...this.#parts].map(([inner, tree]) => tree.toPart(inner));
		return sumOf(name, [...parts, { name: "the rest", bytes: this.#own }]);
	}
}
