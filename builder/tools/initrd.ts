import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { type CpioEntry, readCpio } from "./cpio.ts";

/** Larger ones, unpacked, are not looked into. */
const MAX_PLAIN = 1024 * 1024 * 1024;

export interface Initrd {
	/** Files of the archives in front, which are not compressed: the kernel wants microcode so. */
	readonly early: readonly CpioEntry[];
	/** Where the main archive begins; the length of all where there is none. */
	readonly mainAt: number;
	/** How the main archive is packed; null: it is not, or in another way. */
	readonly packing: "zstd" | "gzip" | null;
	/** Its files; undefined: it is in another form, damaged, or too large. */
	readonly main: readonly CpioEntry[] | undefined;
}

/** Takes an initrd apart (Linux, Documentation/driver-api/early-userspace/buffer-format.rst). Never fails. */
export function readInitrd(data: Buffer): Initrd {
	const early: CpioEntry[] = [];
	let mainAt = 0;
	for (let found = readCpio(data, 0); found !== undefined; found = readCpio(data, mainAt)) {
		early.push(...found.entries);
		mainAt = found.end;
	}
	const packed = data.subarray(mainAt);
	const packing = packingOf(packed);
	const main = packed.length === 0 ? [] : readCpio(unpacked(packed, packing), 0)?.entries;
	return { early, mainAt, packing, main };
}

function packingOf(data: Buffer): Initrd["packing"] {
	if (data.length < 4) return null;
	if (data.readUInt32LE(0) === 0xfd2fb528) return "zstd";
	return data.readUInt16BE(0) === 0x1f8b ? "gzip" : null;
}

function unpacked(data: Buffer, packing: Initrd["packing"]): Buffer {
	try {
		if (packing === "zstd") return zstdDecompressSync(data, { maxOutputLength: MAX_PLAIN });
		if (packing === "gzip") return gunzipSync(data, { maxOutputLength: MAX_PLAIN });
	} catch {
		// Damaged, or too large: nothing is said about what is inside.
	}
	return data;
}
