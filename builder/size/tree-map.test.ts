import fc from "fast-check";
import { expect, test } from "vitest";
import { ink } from "./colours.ts";
import { type Part, sumOf } from "./part.ts";
import { type Box, squarify } from "./squarify.ts";
import { sizeTable } from "./table.ts";
import { treeMap } from "./tree-map.ts";

const overlap = (a: Box, b: Box) =>
	Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x) > 1e-6 &&
	Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y) > 1e-6;

test("areas are in proportion, and boxes lie in the whole without covering each other", () => {
	const sizes = fc.array(fc.integer({ min: 1, max: 1e9 }), { minLength: 1, maxLength: 40 });
	fc.assert(
		fc.property(
			sizes,
			fc.integer({ min: 10, max: 2000 }),
			fc.integer({ min: 10, max: 2000 }),
			(list, width, height) => {
				const weights = list.sort((a, b) => b - a);
				const boxes = squarify(weights, { x: 5, y: 7, width, height });
				const total = weights.reduce((sum, one) => sum + one, 0);
				for (const [i, box] of boxes.entries()) {
					const area = (weights[i]! / total) * width * height;
					expect(Math.abs(box.width * box.height - area)).toBeLessThan(1e-6 * width * height);
					expect([box.x > 5 - 1e-6, box.x + box.width < 5 + width + 1e-6]).toEqual([true, true]);
					expect([box.y > 7 - 1e-6, box.y + box.height < 7 + height + 1e-6]).toEqual([true, true]);
					expect(boxes.slice(0, i).some((other) => overlap(box, other))).toBe(false);
				}
			},
		),
		{ numRuns: 200 },
	);
	// The example of the paper: its first row is 6 and 6, one above the other.
	const [a, b, c] = squarify([6, 6, 4, 3, 2, 2, 1], { x: 0, y: 0, width: 6, height: 4 });
	expect([a, b, c!.x]).toEqual([{ x: 0, y: 0, width: 3, height: 2 }, { x: 0, y: 2, width: 3, height: 2 }, 3]);
});

const evil = `<script>alert("x")</script>\u0000\u001b]0;&`;
const root: Part = sumOf("ISO", [
	sumOf("Root image", [
		{ name: "Packages", bytes: 600 },
		{ name: evil, bytes: 300, note: 'a "note"' },
	]),
	{ name: "Kernel", bytes: 100 },
	{ name: "nothing", bytes: 0 },
]);

test("the picture names every part with its size, and nothing in a name gets out of its text", () => {
	const svg = treeMap(root, "a & b.iso");
	expect(svg).toContain("<title>Root image › Packages: 600 bytes (60.0 %)</title>");
	expect(svg).toContain("<title>Kernel: 100 bytes (10.0 %)</title>");
	expect(svg).toContain("a &#38; b.iso: where its 1000 bytes went");
	expect(svg).not.toMatch(/<script|nothing/);
	expect([...svg].filter((c) => c < " " && c !== "\n")).toEqual([]);
	// Every tag that is opened is closed, in order.
	const open: string[] = [];
	for (const [, close, name, alone] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
		if (close === "/") expect(open.pop()).toBe(name);
		else if (alone !== "/") open.push(name!);
	}
	expect(open).toEqual([]);
});

test("many parts too small to be seen are one box, and the sums stay", () => {
	const parts = Array.from({ length: 500 }, (_, i) => ({ name: `p${i}`, bytes: 1 }));
	const svg = treeMap(sumOf("ISO", [{ name: "large", bytes: 1e9 }, ...parts]), "x.iso");
	expect(svg).toContain("<title>500 smaller ones: 500 bytes (0.0 %)</title>");
});

test("the table shows shares that add up, and cuts long lists unless all are wanted", () => {
	const many = sumOf(
		"Packages",
		Array.from({ length: 30 }, (_, i) => ({ name: `p${i}`, bytes: 1000 + i })),
	);
	const lines = sizeTable(sumOf("ISO", [many]), false);
	expect(lines).toHaveLength(1 + 12 + 1 + 1);
	expect(lines.at(-2)).toMatch(/^ {2}18 more +17\.7 KiB +59\.6 %$/);
	expect(lines.at(-1)).toMatch(/^Total .* 100\.0 %$/);
	expect(sizeTable(sumOf("ISO", [many]), true)).toHaveLength(32);
	expect(["Content", "Kernel", "anything"].map(ink)).toEqual(["#111", "#fff", "#fff"]);
});
