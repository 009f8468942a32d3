import { formatBytes } from "../plan/space.ts";
import type { Part } from "./part.ts";

/** Parts of a part that are shown; what is less is told together. */
const SHOWN = 12;

/** The parts of an ISO as lines of a table: name, size, share of the whole. */
export function sizeTable(root: Part, all: boolean): string[] {
	const rows = rowsOf(root.parts ?? [], 0, all).map(({ name, bytes }) => [
		name,
		formatBytes(bytes),
		`${((100 * bytes) / root.bytes).toFixed(1)} %`,
	]);
	rows.push(["Total", formatBytes(root.bytes), "100.0 %"]);
	const [wide, size] = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
	return rows.map(([name, bytes, share]) => `${name!.padEnd(wide!)}  ${bytes!.padStart(size!)}  ${share!.padStart(7)}`);
}

function rowsOf(parts: readonly Part[], depth: number, all: boolean): { name: string; bytes: number }[] {
	const indent = "  ".repeat(depth);
	const shown = all || depth === 0 ? parts : parts.slice(0, SHOWN);
	const rest = parts.slice(shown.length);
	const rows = shown.flatMap((part) => [
		{ name: `${indent}${part.name}`, bytes: part.bytes },
		...(part.parts === undefined ? [] : rowsOf(part.parts, depth + 1, all)),
	]);
	if (rest.length === 0) return rows;
	return [...rows, { name: `${indent}${rest.length} more`, bytes: rest.reduce((sum, { bytes }) => sum + bytes, 0) }];
}
