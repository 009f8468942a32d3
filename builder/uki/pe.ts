import { SlipwayError } from "../../bundle/errors.ts";

/** A section to add: at most 8 letters of name. */
export interface Section {
	readonly name: string;
	readonly data: Uint8Array;
}

const PE32_PLUS = 0x20b;
const SECTION_HEADER = 40;
/** IMAGE_SCN_CNT_INITIALIZED_DATA and IMAGE_SCN_MEM_READ. */
const DATA = 0x40000040;
const CERTIFICATES = 4;

interface Headers {
	/** Offsets in the file. */
	readonly coff: number;
	readonly optional: number;
	readonly table: number;
	readonly sections: number;
}

/**
 * A copy of a PE32+ image with further read-only sections behind its own, in that order (PE format, sections 3 and 4). The same
 * input gives the same bytes. A signature would be void, so an image that has one is refused. Firmware hashes headers and sections
 * for a signature, so that nothing else may lie between them: a symbol table is left out. Errors: E_STAGE.
 */
export function addSections(image: Uint8Array, added: readonly Section[]): Buffer {
	const whole = Buffer.from(image);
	const at = headersOf(whole);
	if (at === undefined) throw bad("it is not of the form PE32+");
	if (isSigned(whole)) throw bad("it is signed, and more sections would void that");
	const source = whole.subarray(0, sectionsEnd(whole, at));
	source.fill(0, at.coff + 8, at.coff + 16);
	const sectionAlignment = source.readUInt32LE(at.optional + 32);
	const fileAlignment = source.readUInt32LE(at.optional + 36);
	const headersEnd = at.table + (at.sections + added.length) * SECTION_HEADER;
	if (source.length % fileAlignment !== 0) throw bad("its last section is not aligned");
	if (headersEnd > source.readUInt32LE(at.optional + 60)) throw bad("its header has no room for more sections");

	const parts: Buffer[] = [source];
	let length = source.length;
	let address = source.readUInt32LE(at.optional + 56);
	const append = (bytes: Uint8Array) => {
		parts.push(Buffer.from(bytes), Buffer.alloc(padding(length + bytes.length, fileAlignment)));
		length += bytes.length + padding(length + bytes.length, fileAlignment);
	};
	for (const [i, { name, data }] of added.entries()) {
		const header = at.table + (at.sections + i) * SECTION_HEADER;
		address += padding(address, sectionAlignment);
		source.fill(0, header, header + SECTION_HEADER);
		source.write(name.padEnd(8, "\0").slice(0, 8), header, "latin1");
		source.writeUInt32LE(data.length, header + 8);
		source.writeUInt32LE(address, header + 12);
		source.writeUInt32LE(data.length + padding(data.length, fileAlignment), header + 16);
		source.writeUInt32LE(length, header + 20);
		source.writeUInt32LE(DATA, header + 36);
		append(data);
		address += data.length;
	}
	source.writeUInt16LE(at.sections + added.length, at.coff + 2);
	source.writeUInt32LE(address + padding(address, sectionAlignment), at.optional + 56);
	// Firmware does not read it; the signing program writes the right one.
	source.writeUInt32LE(0, at.optional + 64);
	return Buffer.concat(parts);
}

/** Whether a file is an EFI program with a signature, of whomever. */
export function isSigned(image: Buffer): boolean {
	const at = headersOf(image);
	if (at === undefined) return false;
	const directories = image.readUInt32LE(at.optional + 108);
	return directories > CERTIFICATES && image.readUInt32LE(at.optional + 112 + CERTIFICATES * 8 + 4) > 0;
}

/** Where the last section ends in the file. */
function sectionsEnd(image: Buffer, at: Headers): number {
	let end = image.readUInt32LE(at.optional + 60);
	const headers = Array.from({ length: at.sections }, (_, i) => at.table + i * SECTION_HEADER);
	const parts = headers.map((header) => ({
		size: image.readUInt32LE(header + 16),
		at: image.readUInt32LE(header + 20),
	}));
	for (const part of parts.filter(({ size }) => size > 0).sort((a, b) => a.at - b.at)) {
		if (part.at !== end) throw bad("its sections do not follow one another");
		end = part.at + part.size;
	}
	if (end > image.length) throw bad("it ends within a section");
	return end;
}

function headersOf(image: Buffer): Headers | undefined {
	if (image.length < 64 || image.toString("latin1", 0, 2) !== "MZ") return undefined;
	const pe = image.readUInt32LE(0x3c);
	const [coff, optional] = [pe + 4, pe + 24];
	if (optional + 112 + 8 * (CERTIFICATES + 1) > image.length) return undefined;
	if (image.toString("latin1", pe, coff) !== "PE\0\0" || image.readUInt16LE(optional) !== PE32_PLUS) return undefined;
	if (image.readUInt32LE(optional + 60) > image.length) return undefined;
	return { coff, optional, table: optional + image.readUInt16LE(coff + 16), sections: image.readUInt16LE(coff + 2) };
}

/** Bytes that are lacking to a multiple of `alignment`. */
function padding(size: number, alignment: number): number {
	return (alignment - (size % alignment)) % alignment;
}

function bad(why: string): SlipwayError {
	return new SlipwayError("E_STAGE", `The EFI program cannot be used: ${why}.`);
}
