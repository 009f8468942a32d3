import { closest, distance } from "fastest-levenshtein";

/** The candidate that `word` is most likely a slip of, or none if nothing is near. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
	if (candidates.length === 0) return undefined;
	const guess = closest(word, [...candidates]);
	return distance(word, guess) <= Math.max(2, Math.floor(word.length / 3)) ? guess : undefined;
}
