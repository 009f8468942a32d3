import type { FileHandle } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import type { Run } from "../tools/run.ts";
import { type Extent, isoExtents, reportBoot } from "../tools/xorriso.ts";
import { initrdParts } from "./initrd.ts";
import type { Stretch } from "./metadata.ts";
import { type Part, sumOf } from "./part.ts";
import { rootImageParts } from "./root-image.ts";

const EFI_SYSTEM = "28732ac11ff8d211ba4b00a0c93ec93b";

/** Parts whose own parts can be told. */
const LOOK_INTO: Readonly<Record<string, (at: Stretch, name: string) => Promise<Part>>> = {
	"Root image": rootImageParts,
	Initrd: initrdParts,
};

/** A file of an ISO, or its EFI system partition, with the bytes that it has for itself. */
interface Piece {
	readonly path: string;
	readonly bytes: number;
	readonly start: number;
	readonly whole: boolean;
}

/**
 * What every byte of an ISO is for, read from the file alone: any ISO will do, only a root image in it that is a squashfs is looked
 * into. The parts add up to the file's size. Errors: E_ISO, E_FORMAT, E_IO, E_TOOL_MISSING.
 */
export async function isoParts(run: Run, iso: string, file: { fd: FileHandle; size: number }): Promise<Part> {
	const pieces = await piecesOf(run, iso, file.size);
	const groups = new Map<string, Part[]>();
	for (const piece of pieces) {
		const [group, name] = placeOf(piece.path);
		const stretch = { fd: file.fd, start: piece.start, size: piece.bytes };
		const look = piece.whole ? LOOK_INTO[group] : undefined;
		const part = look === undefined ? { name, bytes: piece.bytes } : await look(stretch, name);
		groups.set(group, [...(groups.get(group) ?? []), part]);
	}
	const parts = [...groups].map(([name, inside]) =>
		inside.length > 1 ? sumOf(name, inside) : { ...inside[0]!, name },
	);
	const counted = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
	const rest = { name: "ISO overhead", bytes: file.size - counted, note: "directories, partition tables, padding" };
	return sumOf("ISO", [...parts, rest]);
}

function placeOf(path: string): [group: string, name: string] {
	const name = path.slice(path.lastIndexOf("/") + 1);
	if (/\.squashfs$/.test(path)) return ["Root image", name];
	if (/^\/(boot\/)?(vmlinuz|vmlinux|Image|linux)[^/]*$/i.test(path)) return ["Kernel", name];
	if (/^\/boot\/initrd[^/]*$/.test(path)) return ["Initrd", name];
	if (path.startsWith("/content/")) return ["Content", path.slice("/content/".length)];
	if (path === ESP || /^\/(boot|EFI)\//i.test(path)) return ["Boot images", path.replace(/^\//, "")];
	if (path.startsWith("/.disk/")) return ["Signed lists and marks", name];
	return ["Other files", path.slice(1)];
}

const ESP = "EFI system partition";

/** Files and the EFI system partition, each byte counted once: two names for the same bytes count for the first. */
async function piecesOf(run: Run, iso: string, size: number): Promise<Piece[]> {
	const files = [...(await isoExtents(run, iso))].sort(([a], [b]) => (a < b ? -1 : 1));
	const esp = await systemPartition(run, iso);
	const all: [string, readonly Extent[]][] = esp === undefined ? files : [...files, [ESP, [esp]]];
	const taken: Extent[] = [];
	return all.map(([path, extents]) => {
		const free = extents.filter((one) => one.size > 0 && !taken.some((other) => overlap(one, other)));
		taken.push(...free);
		const bytes = free.reduce((sum, extent) => sum + extent.size, 0);
		const end = Math.max(0, ...free.map((extent) => extent.start + extent.size));
		if (end > size) throw new SlipwayError("E_TRUNCATED", `${iso} ends before ${path} does.`);
		const start = free[0]?.start ?? 0;
		return { path, bytes, start, whole: bytes > 0 && end - start === bytes };
	});
}

function overlap(a: Extent, b: Extent): boolean {
	return a.start < b.start + b.size && b.start < a.start + a.size;
}

async function systemPartition(run: Run, iso: string): Promise<Extent | undefined> {
	const lines = await reportBoot(run, iso);
	const number = lines
		.map((line) => new RegExp(`^GPT type GUID +: +(\\d+) +${EFI_SYSTEM}$`).exec(line)?.[1])
		.find(Boolean);
	const place = lines
		.map((line) => /^GPT start and size +: +(\d+) +(\d+) +(\d+)$/.exec(line))
		.find((m) => m?.[1] === number);
	if (number === undefined || !place) return undefined;
	return { start: Number(place[2]) * 512, size: Number(place[3]) * 512 };
}
