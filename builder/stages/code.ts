import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const known = new Map<string, readonly string[]>();

/** Messages for people: they change often and reach no output. */
const NOT_COUNTED = /\/bundle\/errors\.ts$/;

/**
 * TypeScript files with all of the project's that they import, directly or not, and the shell scripts that those name: the code
 * that belongs to a stage's id. Imports of types alone do not count, because they are gone when the code runs.
 */
export function codeOf(...entries: readonly string[]): string[] {
	const found = new Set<string>();
	const visit = (file: string) => {
		if (found.has(file) || NOT_COUNTED.test(file)) return;
		found.add(file);
		if (file.endsWith(".ts")) for (const next of namedBy(file)) visit(next);
	};
	for (const entry of entries) visit(entry);
	return [...found].sort();
}

function namedBy(file: string): readonly string[] {
	let names = known.get(file);
	if (names === undefined) {
		const text = readFileSync(file, "utf8");
		const fixed = text.matchAll(/^(?:import|export) (?!type )(?:[^;"]*? from )?"(\.{1,2}\/[^"]+\.ts)"/gm);
		const lazy = text.matchAll(/\bimport\("(\.{1,2}\/[^"]+\.ts)"\)/g);
		const scripts = text.matchAll(/import\.meta\.dirname, "([\w./-]+\.sh)"/g);
		const threads = text.matchAll(/new URL\("(\.{1,2}\/[^"]+\.ts)", import\.meta\.url\)/g);
		names = [...fixed, ...lazy, ...threads, ...scripts].map((match) => join(dirname(file), match[1]!));
		known.set(file, names);
	}
	return names;
}
