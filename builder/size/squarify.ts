export interface Box {
	readonly x: number;
	readonly y: number;
	readonly width: number;
	readonly height: number;
}

/**
 * Divides a box among weights, each with an area in proportion, as near to squares as can be (Bruls, Huizing, van Wijk: Squarified
 * Treemaps). Weights are positive, the largest first; the boxes come in the same order.
 */
export function squarify(weights: readonly number[], box: Box): Box[] {
	const boxes: Box[] = [];
	let free = box;
	let left = weights.reduce((sum, weight) => sum + weight, 0);
	for (let from = 0; from < weights.length; ) {
		const scale = (free.width * free.height) / left;
		const side = Math.min(free.width, free.height);
		let to = from + 1;
		while (
			to < weights.length &&
			worst(weights.slice(from, to + 1), side, scale) <= worst(weights.slice(from, to), side, scale)
		)
			to++;
		const row = weights.slice(from, to);
		const sum = row.reduce((total, weight) => total + weight, 0);
		const { placed, rest } = place(row, sum, free, scale);
		boxes.push(...placed);
		[free, left, from] = [rest, left - sum, to];
	}
	return boxes;
}

/** The worst ratio of sides in a row of these weights along a side of that length. */
function worst(row: readonly number[], side: number, scale: number): number {
	const area = row.reduce((total, weight) => total + weight, 0) * scale;
	const [largest, smallest] = [row[0]! * scale, row.at(-1)! * scale];
	return Math.max((side ** 2 * largest) / area ** 2, area ** 2 / (side ** 2 * smallest));
}

/** Lays one row along the shorter side of what is free. */
function place(row: readonly number[], sum: number, free: Box, scale: number): { placed: Box[]; rest: Box } {
	const { x, y, width, height } = free;
	const upright = width >= height;
	const depth = (sum * scale) / (upright ? height : width);
	let along = 0;
	const placed = row.map((weight) => {
		const length = (weight * scale) / depth;
		const start = along;
		along += length;
		return upright
			? { x, y: y + start, width: depth, height: length }
			: { x: x + start, y, width: length, height: depth };
	});
	const rest = upright
		? { x: x + depth, y, width: Math.max(0, width - depth), height }
		: { x, y: y + depth, width, height: Math.max(0, height - depth) };
	return { placed, rest };
}
