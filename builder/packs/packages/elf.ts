/** What the dynamic loader wants to know of an ELF file. */
export interface Elf {
	/** Path of the loader, for programs. */
	readonly interpreter: string | undefined;
	/** Libraries by soname (DT_NEEDED). */
	readonly needed: readonly string[];
	/** Further folders to look in (DT_RUNPATH, DT_RPATH), `$ORIGIN` not yet filled in. */
	readonly runPath: readonly string[];
	readonly machine: number;
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;
const DT_RPATH = 15n;
const DT_RUNPATH = 29n;

/** Reads a 64-bit little-endian ELF file; undefined for anything else, static and damaged ones included. */
export function parseElf(bytes: Buffer): Elf | undefined {
	if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) return undefined;
	try {
		return parse(bytes);
	} catch (error) {
		if (error instanceof RangeError) return undefined;
		throw error;
	}
}

function parse(bytes: Buffer): Elf | undefined {
	const offset = Number(bytes.readBigUInt64LE(32));
	const entrySize = bytes.readUInt16LE(54);
	const segments = Array.from({ length: bytes.readUInt16LE(56) }, (_, i) => segment(bytes, offset + i * entrySize));
	const dynamic = segments.find((s) => s.type === PT_DYNAMIC);
	const interpreter = segments.find((s) => s.type === PT_INTERP);
	if (dynamic === undefined) return undefined;
	const tags: [bigint, bigint][] = [];
	for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 16) {
		tags.push([bytes.readBigUInt64LE(at), bytes.readBigUInt64LE(at + 8)]);
	}
	const strings = tags.find(([tag]) => tag === DT_STRTAB)?.[1] ?? 0n;
	const home = segments.find((s) => s.type === PT_LOAD && strings >= s.address && strings < s.address + BigInt(s.size));
	if (home === undefined) return undefined;
	const table = Number(strings - home.address) + home.offset;
	const text = (at: number) => bytes.toString("latin1", at, bytes.indexOf(0, at));
	const all = (...wanted: bigint[]) =>
		tags.filter(([tag]) => wanted.includes(tag)).map(([, value]) => text(table + Number(value)));
	return {
		interpreter: interpreter === undefined ? undefined : text(interpreter.offset),
		needed: all(DT_NEEDED),
		runPath: all(DT_RUNPATH, DT_RPATH).flatMap((list) => list.split(":")),
		machine: bytes.readUInt16LE(18),
	};
}

function segment(bytes: Buffer, at: number) {
	return {
		type: bytes.readUInt32LE(at),
		offset: Number(bytes.readBigUInt64LE(at + 8)),
		address: bytes.readBigUInt64LE(at + 16),
		size: Number(bytes.readBigUInt64LE(at + 32)),
	};
}
