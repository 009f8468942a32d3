import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FAMILIES } from "./families/index.ts";

/** Rows of the threat model's attack table that concern a load, as opposed to the builder, the network or the image. */
const ROWS = Array.from({ length: 31 }, (_, i) => `A${String(i + 1).padStart(2, "0")}`).filter((row) => row !== "A27");

test("every row has one family, and every family can be answered", () => {
	expect(FAMILIES.map((f) => f.row)).toEqual(ROWS);
	for (const { title } of FAMILIES) expect(title).toMatch(/^[^|]+$/);
});

test("docs/testing.md shows them as they are", async () => {
	const page = await readFile(join(import.meta.dirname, "../../docs/testing.md"), "utf8");
	const shown = /<!-- families -->\n([\s\S]*?)<!-- \/families -->/.exec(page)?.[1];
	expect(shown, "put what is expected between the marks of docs/testing.md").toBe(table());
});

function table(): string {
	const rows = FAMILIES.map(({ row, title, codes, loads }) => {
		const answers = [...codes.map((code) => `\`${code}\``), ...(loads ? ["loads"] : [])];
		return `| ${row} | ${title} | ${answers.join(", ")} |\n`;
	});
	return `| Row | Attack | Answer |\n|---|---|---|\n${rows.join("")}`;
}
