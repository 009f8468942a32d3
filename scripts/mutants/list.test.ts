import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { MUTANTS, mutate } from "./list.ts";

const text = (file: string) => readFileSync(path.resolve(import.meta.dirname, "../..", file), "utf8");

test("at least 40, no two alike", () => {
	expect(new Set(MUTANTS.map((m) => `${m.file} ${m.find} ${m.test}`)).size).toBe(MUTANTS.length);
	expect(MUTANTS.length).toBeGreaterThanOrEqual(40);
});

test.for(MUTANTS)("$file: $guards", (mutant) => {
	expect(mutate(mutant, text(mutant.file))).not.toBe(text(mutant.file));
	// What stands behind a colon may come from a table's row.
	if (mutant.name !== undefined) expect(text(mutant.test)).toContain(mutant.name.split(": ")[0]);
});
