import { formatBytes } from "../plan/space.ts";
import { fill, ink, pale } from "./colours.ts";
import type { Part } from "./part.ts";
import { type Box, squarify } from "./squarify.ts";

const WIDTH = 1600;
const HEIGHT = 1000;
const TOP = 64;
const BOTTOM = 76;
const MARGIN = 20;
/** Smaller boxes, in square pixels, are put together. */
const SMALLEST = 90;
const FONT = 13;
/** In boxes that are narrower than so many pixels. */
const SMALL_FONT = 11;
const NARROW = 90;
/** Of the font, on average; a label that is too long is cut. */
const LETTER = 0.66;

interface Place {
	/** Names of the parts around it. */
	readonly path: readonly string[];
	/** By which it is coloured. */
	readonly kind: string;
	readonly total: number;
}

/**
 * A tree map as SVG, without script and without anything from elsewhere: the area of each box is its share of the bytes, boxes lie
 * in the box of what they are part of. Every box has its name and size as its title, for pointers and screen readers.
 */
export function treeMap(root: Part, title: string): string {
	const box = { x: MARGIN, y: TOP, width: WIDTH - 2 * MARGIN, height: HEIGHT - TOP - BOTTOM };
	const place = { path: [], kind: "", total: root.bytes };
	const parts = root.parts ?? [];
	const summary = parts.map((part) => `${part.name} ${formatBytes(part.bytes)}`).join(", ");
	return [
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="title summary" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="${FONT}">`,
		`<title id="title">${escaped(`${title}: where its ${formatBytes(root.bytes)} went`)}</title>`,
		`<desc id="summary">${escaped(summary)}</desc>`,
		`<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
		`<text x="${MARGIN}" y="32" font-size="22" font-weight="600" fill="#111">${escaped(title)}</text>`,
		`<text x="${MARGIN}" y="52" fill="#444">${formatBytes(root.bytes)} (${root.bytes} bytes); areas are shares of the file</text>`,
		...inside(parts, box, place),
		...legend(parts, root.bytes),
		"</svg>",
		"",
	].join("\n");
}

/** The boxes of parts that lie in one box. */
function inside(parts: readonly Part[], box: Box, place: Place): string[] {
	const shown = gather(parts, box);
	const boxes = squarify(
		shown.map(({ bytes }) => bytes),
		box,
	);
	return shown.flatMap((part, i) => draw(part, inset(boxes[i]!, place.path.length === 0 ? 3 : 1), place, i));
}

function draw(part: Part, box: Box, { path, kind, total }: Place, n: number): string[] {
	const names = [...path, part.name];
	// Inside the root image each group has a colour of its own.
	const own = path.length === 0 || path.at(-1) === "Root image" ? part.name : kind;
	const share = `${formatBytes(part.bytes)} (${((100 * part.bytes) / total).toFixed(1)} %)`;
	const title = `<title>${escaped(`${names.join(" › ")}: ${share}${part.note === undefined ? "" : `; ${part.note}`}`)}</title>`;
	const header = FONT + 9;
	const framed = (part.parts?.length ?? 0) > 1 && box.width > 60 && box.height > 60;
	const colour = framed ? pale(own) : fill(own, n);
	const rect = `<rect ${area(box)} rx="${framed ? 4 : 2}" fill="${colour}"/>`;
	if (!framed) return [`<g>${title}${rect}${label(part, share, box, ink(own))}</g>`];
	const wide = box.width - 14;
	const heading = [`${part.name} · ${share}`, `${part.name} · ${formatBytes(part.bytes)}`, part.name];
	const text = heading.find((one) => cut(one, wide) === one) ?? cut(part.name, wide);
	const head = `<text x="${round(box.x + 7)}" y="${round(box.y + header - 6)}" font-weight="600" fill="#222">${escaped(text)}</text>`;
	const room = { x: box.x + 4, y: box.y + header, width: box.width - 8, height: box.height - header - 4 };
	return [`<g>${title}${rect}${head}`, ...inside(part.parts!, room, { path: names, kind: own, total }), "</g>"];
}

/** Parts too small to be seen become one; its name says how many they are. */
function gather(parts: readonly Part[], box: Box): Part[] {
	const total = parts.reduce((sum, part) => sum + part.bytes, 0);
	const visible = (part: Part) => (part.bytes / total) * box.width * box.height >= SMALLEST;
	const [large, small] = [parts.filter(visible), parts.filter((part) => !visible(part))];
	if (small.length < 2) return [...parts];
	const bytes = small.reduce((sum, part) => sum + part.bytes, 0);
	const rest = { name: `${small.length} smaller ones`, bytes };
	return [...large, rest].sort((a, b) => b.bytes - a.bytes);
}

function label({ name, bytes }: Part, share: string, box: Box, colour: string): string {
	const font = box.width < NARROW ? SMALL_FONT : FONT;
	const room = box.width - 8;
	const line = (text: string, y: number, weight: string) =>
		`<text x="${round(box.x + 4)}" y="${round(box.y + y)}" font-size="${font}"${weight} fill="${colour}">${escaped(text)}</text>`;
	const short = cut(name, room, font);
	if (box.height < font + 5 || short.length < Math.min(4, name.length)) return "";
	const size = [share, formatBytes(bytes)].find((text) => cut(text, room, font) === text);
	const second = box.height < 2 * font + 10 || size === undefined ? "" : line(size, 2 * font + 5, "");
	return line(short, font + 2, ' font-weight="600"') + second;
}

/** What of a text fits into so many pixels; nothing, if only a letter or two would. */
function cut(text: string, width: number, font = FONT): string {
	const letters = Math.floor(width / (font * LETTER));
	if (text.length <= letters) return text;
	return letters < 5 ? "" : `${text.slice(0, letters - 1)}…`;
}

function legend(parts: readonly Part[], total: number): string[] {
	const each = (WIDTH - 2 * MARGIN) / Math.max(1, parts.length);
	return parts.map((part, i) => {
		const x = MARGIN + i * each;
		const y = HEIGHT - BOTTOM + 22;
		const share = `${formatBytes(part.bytes)}, ${((100 * part.bytes) / total).toFixed(1)} %`;
		return [
			`<g><rect x="${round(x)}" y="${y}" width="14" height="14" rx="3" fill="${fill(part.name)}"/>`,
			`<text x="${round(x + 21)}" y="${y + 12}" font-weight="600" fill="#111">${escaped(cut(part.name, each - 26))}</text>`,
			`<text x="${round(x + 21)}" y="${y + 30}" fill="#444">${escaped(share)}</text></g>`,
		].join("");
	});
}

function inset({ x, y, width, height }: Box, gap: number): Box {
	const by = Math.min(gap / 2, width / 4, height / 4);
	return { x: x + by, y: y + by, width: width - 2 * by, height: height - 2 * by };
}

function area({ x, y, width, height }: Box): string {
	return `x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}"`;
}

function round(value: number): string {
	return String(Math.round(value * 10) / 10);
}

/** Names come out of the ISO: markup is escaped, and what XML does not allow is replaced. */
function escaped(text: string): string {
	return text.replace(/[^\x20-\ud7ff\ue000-\ufffd]/g, "?").replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
