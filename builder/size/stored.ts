import { damaged, storedSize } from "./metadata.ts";
import type { SquashFile, Squashfs } from "./squashfs.ts";

/**
 * Bytes that each file takes in the image as it is stored, by path. Whole blocks are a file's own; blocks of tails, in which the ends
 * of many files are packed together, are shared out by plain length. What two files share counts for the first by path.
 */
export function storedBytes({ files, fragments }: Squashfs): Map<string, number> {
	const stored = new Map<string, number>();
	const seen = new Set<string>();
	const tails = new Map<number, SquashFile[]>();
	for (const file of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) {
		const blocks = file.blocks.reduce((sum, word) => sum + storedSize(word), 0);
		// Equal files share their blocks; one hole or no block at all has no place of its own.
		stored.set(file.path, blocks === 0 || !first(seen, `b${file.start}`) ? 0 : blocks);
		if (file.tail === null || !first(seen, `t${file.tail.fragment}+${file.tail.offset}`)) continue;
		tails.set(file.tail.fragment, [...(tails.get(file.tail.fragment) ?? []), file]);
	}
	for (const [number, sharers] of tails) {
		const fragment = fragments[number];
		if (fragment === undefined) throw damaged("a fragment is missing");
		const shares = shareOut(
			storedSize(fragment.sizeWord),
			sharers.map((file) => file.tail!.length),
		);
		for (const [i, file] of sharers.entries()) stored.set(file.path, stored.get(file.path)! + shares[i]!);
	}
	return stored;
}

/** Divides whole bytes by weight; the shares add up to the total. */
export function shareOut(total: number, weights: readonly number[]): number[] {
	const whole = weights.reduce((sum, weight) => sum + weight, 0);
	let [given, weight] = [0, 0];
	return weights.map((one) => {
		weight += one;
		const share = Math.floor((total * weight) / Math.max(1, whole)) - given;
		given += share;
		return share;
	});
}

function first(seen: Set<string>, key: string): boolean {
	if (seen.has(key)) return false;
	seen.add(key);
	return true;
}
