import type { FileHandle } from "node:fs/promises";
import { inflateSync, zstdDecompressSync } from "node:zlib";
import { SlipwayError } from "../../bundle/errors.ts";
import { readExactly } from "../../bundle/read.ts";

/** Plain bytes of a metadata block at most. */
const METADATA_BLOCK = 8192;
/** The largest data block that squashfs allows. */
const MAX_BLOCK = 1024 * 1024;

/** A stretch of a file that holds a squashfs. */
export interface Stretch {
	readonly fd: FileHandle;
	readonly start: number;
	readonly size: number;
}

/** Reads stored pieces of a squashfs and decodes them, never beyond the stretch it lies in. Errors: E_ISO, E_FORMAT, E_IO. */
export class Pieces {
	readonly #at: Stretch;
	readonly #decode: (data: Buffer, max: number) => Buffer;
	readonly #metadata = new Map<number, Promise<{ data: Buffer; next: number }>>();

	/** `compression`: the superblock's number of it. */
	constructor(at: Stretch, compression: number) {
		this.#at = at;
		const decode = DECODERS[compression];
		if (decode === undefined) {
			const message = `The root image is compressed with method ${compression}; gzip (1) and zstd (6) are known.`;
			throw new SlipwayError("E_FORMAT", message);
		}
		this.#decode = decode;
	}

	/** One data block or fragment block, as plain bytes; bit 24 of its size word says that it is stored plain. */
	async block(position: number, sizeWord: number): Promise<Buffer> {
		const size = storedSize(sizeWord);
		if (size > MAX_BLOCK) throw damaged("a block is too large");
		const stored = await this.#read(position, size);
		return sizeWord & PLAIN ? stored : this.#decoded(stored, MAX_BLOCK);
	}

	/** A reader of metadata that goes on from block to block. */
	cursor(position: number, offset: number): Cursor {
		return new Cursor((at) => this.#metadataBlock(at), position, offset);
	}

	/** Plain bytes outside of every block, as the superblock and the index of fragments are. */
	raw(position: number, size: number): Promise<Buffer> {
		return this.#read(position, size);
	}

	#metadataBlock(position: number): Promise<{ data: Buffer; next: number }> {
		let found = this.#metadata.get(position);
		if (found === undefined) {
			found = this.#readMetadata(position);
			this.#metadata.set(position, found);
		}
		return found;
	}

	async #readMetadata(position: number): Promise<{ data: Buffer; next: number }> {
		const word = (await this.#read(position, 2)).readUInt16LE(0);
		const size = word & 0x7fff;
		const stored = await this.#read(position + 2, size);
		const data = word & 0x8000 ? stored : this.#decoded(stored, METADATA_BLOCK);
		if (data.length === 0 || data.length > METADATA_BLOCK) throw damaged("a table has an empty block");
		return { data, next: position + 2 + size };
	}

	#decoded(stored: Buffer, max: number): Buffer {
		try {
			return this.#decode(stored, max);
		} catch (cause) {
			throw new SlipwayError("E_ISO", "The root image is damaged: a block does not decode.", { cause });
		}
	}

	#read(position: number, size: number): Promise<Buffer> {
		if (position + size > this.#at.size) throw damaged("something lies behind its end");
		return readExactly(this.#at.fd, this.#at.start + position, size);
	}
}

const PLAIN = 1 << 24;
const DECODERS: Partial<Record<number, (data: Buffer, max: number) => Buffer>> = {
	1: (data, max) => inflateSync(data, { maxOutputLength: max }),
	6: (data, max) => zstdDecompressSync(data, { maxOutputLength: max }),
};

/** Bytes that a block takes in the file. */
export function storedSize(sizeWord: number): number {
	return sizeWord & (PLAIN - 1);
}

/** Reads numbers and bytes one after the other through the blocks of a table. */
export class Cursor {
	readonly #load: (position: number) => Promise<{ data: Buffer; next: number }>;
	#position: number;
	#offset: number;

	constructor(load: (position: number) => Promise<{ data: Buffer; next: number }>, position: number, offset: number) {
		this.#load = load;
		this.#position = position;
		this.#offset = offset;
	}

	async bytes(length: number): Promise<Buffer> {
		const parts: Buffer[] = [];
		for (let left = length; left > 0; ) {
			const { data, next } = await this.#load(this.#position);
			const part = data.subarray(this.#offset, this.#offset + left);
			parts.push(part);
			left -= part.length;
			this.#offset += part.length;
			if (this.#offset >= data.length) [this.#position, this.#offset] = [next, this.#offset - data.length];
		}
		return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
	}
}

export function damaged(what: string): SlipwayError {
	return new SlipwayError("E_ISO", `The root image is damaged: ${what}.`);
}
