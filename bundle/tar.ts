import { SlipwayError } from "./errors.ts";

/**
 * The one tar that a list of entries can be (docs/bundle-format.md, "Tar"): ustar headers with every other field fixed, PAX
 * only where ustar cannot hold a path or size, 1,024 zero bytes at the end. Writer and reader both derive the headers from
 * the names and sizes, so the reader compares bytes and never interprets a header that a stranger wrote.
 */
export interface TarEntry {
	readonly name: string;
	readonly size: number;
}

export const BLOCK = 512;
export const END_SIZE = 2 * BLOCK;
const MAX_USTAR_NAME = 100;
const MAX_USTAR_SIZE = 0o77777777777; // 8 GiB - 1: eleven octal digits

/** Zero bytes that follow the data of an entry. */
export function paddingOf(size: number): number {
	return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** Bytes in front of an entry's data. */
export function headerLength(entry: TarEntry): number {
	const records = paxRecords(entry);
	return records === undefined ? BLOCK : 2 * BLOCK + records.length + paddingOf(records.length);
}

/** Bytes that an entry takes in all: header, data, padding. */
export function entryLength(entry: TarEntry): number {
	return headerLength(entry) + entry.size + paddingOf(entry.size);
}

/** The bytes in front of an entry's data: `x` header and records where needed, then the ustar header. */
export function tarHeader(entry: TarEntry): Buffer {
	const records = paxRecords(entry);
	const main = ustar(entry.name.slice(0, MAX_USTAR_NAME), entry.size > MAX_USTAR_SIZE ? 0 : entry.size, "0");
	if (records === undefined) return main;
	return Buffer.concat([
		ustar("PaxHeader", records.length, "x"),
		records,
		Buffer.alloc(paddingOf(records.length)),
		main,
	]);
}

function paxRecords({ name, size }: TarEntry): Buffer | undefined {
	const records = [
		...(name.length > MAX_USTAR_NAME ? [paxRecord("path", name)] : []),
		...(size > MAX_USTAR_SIZE ? [paxRecord("size", String(size))] : []),
	];
	return records.length === 0 ? undefined : Buffer.from(records.join(""), "ascii");
}

/** `length key=value\n`, where the length counts its own digits (POSIX.1-2001 pax). */
function paxRecord(key: string, value: string): string {
	const rest = ` ${key}=${value}\n`;
	let length = rest.length;
	while (length !== String(length).length + rest.length) length = String(length).length + rest.length;
	return `${length}${rest}`;
}

function ustar(name: string, size: number, type: "0" | "x"): Buffer {
	const block = Buffer.alloc(BLOCK);
	const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
	block.write(name, 0, "ascii");
	block.write(octal(0o644, 7), 100);
	block.write(octal(0, 7), 108); // uid
	block.write(octal(0, 7), 116); // gid
	block.write(octal(size, 11), 124);
	block.write(octal(0, 11), 136); // mtime
	block.fill(" ", 148, 156); // the checksum counts as spaces in its own sum
	block.write(type, 156);
	block.write("ustar\0", 257);
	block.write("00", 263);
	block.write(octal(0, 7), 329); // devmajor
	block.write(octal(0, 7), 337); // devminor
	block.write(`${octal(checksum(block), 6)}\0 `, 148);
	return block;
}

function checksum(block: Buffer): number {
	return block.reduce((sum, byte) => sum + byte, 0);
}

/** A piece of one entry's data, in order. An empty entry yields one empty piece. */
export interface TarPiece {
	readonly entry: number;
	readonly data: Buffer;
	readonly last: boolean;
}

/**
 * Compares a tar, given in chunks of any size, with the one tar that `entries` can be, and yields the data of the entries.
 * Pieces are views of the chunk. Errors: E_TAR, E_ENTRY_NAME, E_ENTRY_TYPE, E_ENTRY_DUP, E_TRAILING; `end` E_TRUNCATED.
 */
export class TarChecker {
	readonly #entries: readonly TarEntry[];
	#entry = 0;
	#header: Buffer;
	#inHeader = 0;
	/** A part of this entry's header was passed over. */
	#headerPassed = false;
	/** Bytes of data, then of zeros, still to come in the current entry. */
	#data = 0;
	#zeros = 0;
	#offset = 0;

	constructor(entries: readonly TarEntry[]) {
		this.#entries = entries;
		this.#header = Buffer.alloc(0);
		this.#begin();
	}

	*push(chunk: Buffer): Generator<TarPiece, void, void> {
		let at = 0;
		const take = (n: number) => {
			const part = chunk.subarray(at, at + n);
			at += part.length;
			this.#offset += part.length;
			return part;
		};
		while (at < chunk.length) {
			if (this.#inHeader < this.#header.length) {
				this.#inHeader += take(this.#header.length - this.#inHeader).copy(this.#header, this.#inHeader);
				if (this.#inHeader < this.#header.length) return;
				this.#compareHeader();
				if (this.#data === 0) yield { entry: this.#entry, data: Buffer.alloc(0), last: true };
			} else if (this.#data > 0) {
				const data = take(this.#data);
				this.#data -= data.length;
				yield { entry: this.#entry, data, last: this.#data === 0 };
			} else if (this.#zeros > 0) {
				const zeros = take(this.#zeros);
				if (zeros.some((byte) => byte !== 0)) this.#fail("E_TAR", "padding that is not zero");
				this.#zeros -= zeros.length;
			} else this.#fail("E_TRAILING", "something behind its end");
			if (this.#inHeader === this.#header.length && this.#data === 0 && this.#zeros === 0) this.#next();
		}
	}

	/** Passes over bytes of entries that are proved in another way: their place counts, what they are does not. */
	skip(count: number): void {
		for (let rest = count; rest > 0; ) {
			const header = Math.min(rest, this.#header.length - this.#inHeader);
			const data = Math.min(rest - header, this.#data);
			const zeros = Math.min(rest - header - data, this.#zeros);
			const passed = header + data + zeros;
			if (passed === 0) this.#fail("E_TRAILING", "something behind its end");
			if (header > 0) this.#headerPassed = true;
			this.#inHeader += header;
			this.#data -= data;
			this.#zeros -= zeros;
			this.#offset += passed;
			rest -= passed;
			if (this.#inHeader === this.#header.length && this.#data === 0 && this.#zeros === 0) this.#next();
		}
	}

	/** Call after the last chunk. */
	end(): void {
		if (this.#entry <= this.#entries.length)
			throw new SlipwayError("E_TRUNCATED", `The tar ends too early, at byte ${this.#offset}.`);
	}

	#next(): void {
		if (this.#entry > this.#entries.length) return;
		this.#entry += 1;
		this.#begin();
	}

	/** Behind the last entry stands one more, without a header: the zeros that end the archive. */
	#begin(): void {
		const entry = this.#entries[this.#entry];
		this.#inHeader = 0;
		this.#headerPassed = false;
		this.#header = entry === undefined ? Buffer.alloc(0) : Buffer.alloc(headerLength(entry));
		this.#data = entry?.size ?? 0;
		this.#zeros = entry === undefined ? 0 : paddingOf(entry.size);
		if (this.#entry === this.#entries.length) this.#zeros = END_SIZE;
	}

	#compareHeader(): void {
		const entry = this.#entries[this.#entry]!;
		const expected = tarHeader(entry);
		if (this.#headerPassed || this.#header.equals(expected)) return;
		// Only to name the fault: nothing read here is used.
		let at = 0;
		while (this.#header.subarray(at, at + BLOCK).equals(expected.subarray(at, at + BLOCK))) at += BLOCK;
		const nameIn = (header: Buffer) => header.toString("latin1", at, at + MAX_USTAR_NAME).split("\0")[0]!;
		const name = nameIn(this.#header);
		if (at > 0 && at < expected.length - BLOCK)
			this.#fail("E_TAR", `PAX records of ${entry.name} that do not belong there`);
		if (name !== nameIn(expected)) {
			const earlier = this.#entries.slice(0, this.#entry).some((e) => e.name === name);
			this.#fail(
				earlier ? "E_ENTRY_DUP" : "E_ENTRY_NAME",
				`the entry ${JSON.stringify(name)} where ${entry.name} belongs`,
			);
		}
		if (this.#header[at + 156] !== expected[at + 156]) {
			this.#fail("E_ENTRY_TYPE", `an entry of type ${JSON.stringify(String.fromCharCode(this.#header[at + 156]!))}`);
		}
		this.#fail("E_TAR", `a header of ${entry.name} that is not the one the index gives`);
	}

	#fail(code: "E_TAR" | "E_TRAILING" | "E_ENTRY_NAME" | "E_ENTRY_TYPE" | "E_ENTRY_DUP", what: string): never {
		throw new SlipwayError(code, `The tar has ${what} (before byte ${this.#offset}).`);
	}
}
