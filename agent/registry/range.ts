/**
 * One byte range of a `Range` header (RFC 9110, 14.1.2), inclusive at both ends. Undefined when there is none, or one that
 * a server may ignore: another unit, several ranges, bad syntax.
 */
export function parseRange(
	header: string | undefined,
	size: number,
): { start: number; end: number } | "unsatisfiable" | undefined {
	const found = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
	if (!found || (found[1] === "" && found[2] === "")) return undefined;
	const first = found[1] === "" ? undefined : Number(found[1]);
	const last = found[2] === "" ? undefined : Number(found[2]);
	if (first === undefined) {
		return last === 0 || size === 0 ? "unsatisfiable" : { start: Math.max(0, size - (last ?? 0)), end: size - 1 };
	}
	if (last !== undefined && last < first) return undefined;
	if (first >= size) return "unsatisfiable";
	return { start: first, end: Math.min(last ?? size - 1, size - 1) };
}
