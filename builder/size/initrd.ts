import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { readExactly } from "../../bundle/read.ts";
import { type CpioEntry, readCpio } from "./cpio.ts";
import type { Stretch } from "./metadata.ts";
import { moduleKind } from "./module-kind.ts";
import { type Part, PartTree } from "./part.ts";
import { shareOut } from "./stored.ts";

/** Larger ones, packed or unpacked, are not looked into. */
const MAX_PACKED = 512 * 1024 * 1024;
const MAX_PLAIN = 1024 * 1024 * 1024;

/**
 * What an initrd's bytes are for: cpio archives one behind the other, the last one compressed. Of that one only the sum is known, so it
 * is shared out by plain length, which is an estimate. One of another form is a part without parts. Errors: E_IO, E_TRUNCATED.
 */
export async function initrdParts({ fd, start, size }: Stretch, name: string): Promise<Part> {
	if (size > MAX_PACKED) return { name, bytes: size };
	const data = await readExactly(fd, start, size);
	const tree = new PartTree();
	const plain = plainArchives(data);
	for (const { path, bytes } of plain.entries) tree.add(placeOf(path), bytes);
	const packed = data.subarray(plain.end);
	const entries = plain.end < size ? readCpio(unpacked(packed) ?? packed, 0)?.entries : [];
	if (entries === undefined) return { name, bytes: size };
	const shares = shareOut(
		packed.length,
		entries.map(({ bytes }) => bytes),
	);
	for (const [i, { path }] of entries.entries()) tree.add(placeOf(path), shares[i]!);
	tree.add(["Ends of archives"], size - tree.bytes);
	return { ...tree.toPart(name), note: "inside what is compressed, shares are estimates by plain length" };
}

/** Archives that are not compressed, as microcode must be. */
function plainArchives(data: Buffer): { entries: CpioEntry[]; end: number } {
	const entries: CpioEntry[] = [];
	let end = 0;
	for (let found = readCpio(data, 0); found !== undefined; found = readCpio(data, end)) {
		entries.push(...found.entries);
		end = found.end;
		if (end >= data.length) break;
	}
	return { entries, end };
}

function unpacked(data: Buffer): Buffer | undefined {
	try {
		if (data.readUInt32LE(0) === 0xfd2fb528) return zstdDecompressSync(data, { maxOutputLength: MAX_PLAIN });
		if (data.readUInt16BE(0) === 0x1f8b) return gunzipSync(data, { maxOutputLength: MAX_PLAIN });
	} catch {
		// Damaged, or too large: nothing is said about what is inside.
	}
	return undefined;
}

function placeOf(path: string): string[] {
	const kind = moduleKind(path);
	if (kind !== undefined) return ["Kernel modules", kind];
	if (/^(usr\/)?lib\/firmware\//.test(path) || path.startsWith("kernel/")) return ["Firmware and microcode"];
	if (/^(usr\/)?lib\/(modules)\//.test(path)) return ["Kernel modules", "indexes"];
	return ["Programs, libraries, scripts"];
}
