import { SlipwayError } from "../../bundle/errors.ts";
import { readExactly } from "../../bundle/read.ts";
import { type Cursor, damaged, Pieces, type Stretch, storedSize } from "./metadata.ts";

/** More than any root image has; a directory that contains itself would never end. */
const MAX_ENTRIES = 2_000_000;
const MAX_DEPTH = 128;
const MAX_FRAGMENTS = 1_000_000;
/** Blocks of one file: half a terabyte with the smallest that Slipway writes. */
const MAX_BLOCKS = 1 << 21;
/** What no fragment index is. */
const NONE = 0xffffffff;

/** A regular file of a squashfs, and where its bytes lie. */
export interface SquashFile {
	/** `usr/bin/env`: without a leading slash. */
	readonly path: string;
	/** Plain bytes. */
	readonly size: number;
	/** Position of its first block. Equal files, and hard links, share their blocks. */
	readonly start: number;
	/** Size words of its blocks, in order. */
	readonly blocks: readonly number[];
	/** Where its end lies, beside the ends of others. */
	readonly tail: { readonly fragment: number; readonly offset: number; readonly length: number } | null;
}

export interface Fragment {
	readonly start: number;
	readonly sizeWord: number;
}

export interface Squashfs {
	/** Bytes of the file system itself: what may follow it in its file is not counted. */
	readonly bytesUsed: number;
	readonly files: readonly SquashFile[];
	/** Links at the top, such as `lib` to `usr/lib`. */
	readonly topLinks: ReadonlyMap<string, string>;
	readonly fragments: readonly Fragment[];
	/** The plain bytes of a file. */
	read(file: SquashFile): Promise<Buffer>;
}

/**
 * Reads the directory tree of a squashfs 4.0 (Linux, fs/squashfs/squashfs_fs.h) in place, without unpacking anything. Errors: E_ISO
 * (not one, or damaged), E_FORMAT (its compression), E_IO.
 */
export async function openSquashfs(at: Stretch): Promise<Squashfs> {
	const head = await readExactly(at.fd, at.start, 96);
	if (head.toString("latin1", 0, 4) !== "hsqs" || head.readUInt16LE(28) !== 4) {
		throw new SlipwayError("E_ISO", "The root image is not a squashfs 4.0.");
	}
	const long = (offset: number) => Number(head.readBigUInt64LE(offset));
	const blockSize = head.readUInt32LE(12);
	if (blockSize < 4096 || blockSize > 1 << 20) throw damaged("its blocks have no size that is allowed");
	const pieces = new Pieces(at, head.readUInt16LE(20));
	const tables = { inodes: long(64), directories: long(72), blockSize };
	const walk = new Walk(pieces, tables);
	await walk.directory(long(32), "");
	const fragments = await readFragments(pieces, long(80), head.readUInt32LE(16));
	return {
		bytesUsed: long(40),
		files: walk.files,
		topLinks: walk.topLinks,
		fragments,
		read: (file) => readFile(pieces, fragments, file, blockSize),
	};
}

async function readFile(
	pieces: Pieces,
	fragments: readonly Fragment[],
	file: SquashFile,
	blockSize: number,
): Promise<Buffer> {
	const parts: Buffer[] = [];
	let position = file.start;
	for (const [i, word] of file.blocks.entries()) {
		const hole = Math.min(blockSize, file.size - i * blockSize);
		parts.push(word === 0 ? Buffer.alloc(hole) : await pieces.block(position, word));
		position += storedSize(word);
	}
	if (file.tail !== null) {
		const fragment = fragments[file.tail.fragment];
		if (fragment === undefined) throw damaged("a fragment is missing");
		const block = await pieces.block(fragment.start, fragment.sizeWord);
		parts.push(block.subarray(file.tail.offset, file.tail.offset + file.tail.length));
	}
	return Buffer.concat(parts);
}

async function readFragments(pieces: Pieces, table: number, count: number): Promise<Fragment[]> {
	const fragments: Fragment[] = [];
	if (count === 0) return fragments;
	if (count > MAX_FRAGMENTS) throw damaged("it has too many fragments");
	const PER_BLOCK = 512;
	const index = await pieces.raw(table, Math.ceil(count / PER_BLOCK) * 8);
	for (let i = 0; i < count; i += PER_BLOCK) {
		const here = Math.min(PER_BLOCK, count - i);
		const data = await pieces.cursor(Number(index.readBigUInt64LE((i / PER_BLOCK) * 8)), 0).bytes(here * 16);
		for (let j = 0; j < here; j++) {
			fragments.push({ start: Number(data.readBigUInt64LE(j * 16)), sizeWord: data.readUInt32LE(j * 16 + 8) });
		}
	}
	return fragments;
}

interface Tables {
	readonly inodes: number;
	readonly directories: number;
	readonly blockSize: number;
}

/** Goes through all directories from one on. */
class Walk {
	readonly files: SquashFile[] = [];
	readonly topLinks = new Map<string, string>();
	readonly #pieces: Pieces;
	readonly #tables: Tables;
	#entries = 0;

	constructor(pieces: Pieces, tables: Tables) {
		this.#pieces = pieces;
		this.#tables = tables;
	}

	/** `reference`: where the inode lies, as squashfs packs it. */
	async directory(reference: number, path: string, depth = 0): Promise<void> {
		if (depth > MAX_DEPTH) throw damaged("its folders are too deep, or one contains itself");
		const { type, cursor } = await this.#inode(reference);
		const data = await cursor.bytes(type === 1 ? 16 : 24);
		if (type !== 1 && type !== 8) throw damaged(`${path === "" ? "its top" : path} is no directory`);
		const [start, size, offset] =
			type === 1
				? [data.readUInt32LE(0), data.readUInt16LE(8), data.readUInt16LE(10)]
				: [data.readUInt32LE(8), data.readUInt32LE(4), data.readUInt16LE(18)];
		const list = this.#pieces.cursor(this.#tables.directories + start, offset);
		// Three bytes are counted for `.` and `..`, which are not there.
		for (let left = size - 3; left > 0; ) {
			const header = await list.bytes(12);
			left -= 12;
			for (let i = header.readUInt32LE(0); i >= 0; i--) {
				const entry = await list.bytes(8);
				const name = (await list.bytes(entry.readUInt16LE(6) + 1)).toString("utf8");
				left -= 8 + Buffer.byteLength(name);
				if (++this.#entries > MAX_ENTRIES) throw damaged("it has too many entries");
				const to = header.readUInt32LE(4) * 65536 + entry.readUInt16LE(0);
				await this.#entry(entry.readUInt16LE(4), to, path === "" ? name : `${path}/${name}`, depth);
			}
		}
	}

	async #entry(type: number, reference: number, path: string, depth: number): Promise<void> {
		if (type === 1) await this.directory(reference, path, depth + 1);
		else if (type === 2) this.files.push(await this.#file(reference, path));
		else if (type === 3 && !path.includes("/")) this.topLinks.set(path, await this.#link(reference));
	}

	async #file(reference: number, path: string): Promise<SquashFile> {
		const { type, cursor } = await this.#inode(reference);
		const extended = type === 9;
		const data = await cursor.bytes(extended ? 40 : 16);
		const [start, size, fragment, offset] = extended
			? [Number(data.readBigUInt64LE(0)), Number(data.readBigUInt64LE(8)), data.readUInt32LE(28), data.readUInt32LE(32)]
			: [data.readUInt32LE(0), data.readUInt32LE(12), data.readUInt32LE(4), data.readUInt32LE(8)];
		const { blockSize } = this.#tables;
		const count = fragment === NONE ? Math.ceil(size / blockSize) : Math.floor(size / blockSize);
		if (count > MAX_BLOCKS) throw damaged(`${path} has too many blocks`);
		const words = await cursor.bytes(count * 4);
		const blocks = Array.from({ length: count }, (_, i) => words.readUInt32LE(i * 4));
		const tail = fragment === NONE ? null : { fragment, offset, length: size % blockSize };
		return { path, size, start, blocks, tail };
	}

	async #link(reference: number): Promise<string> {
		const { cursor } = await this.#inode(reference);
		const length = (await cursor.bytes(8)).readUInt32LE(4);
		return (await cursor.bytes(Math.min(length, 4096))).toString("utf8");
	}

	async #inode(reference: number): Promise<{ type: number; cursor: Cursor }> {
		const [block, offset] = [Math.floor(reference / 65536), reference % 65536];
		const cursor = this.#pieces.cursor(this.#tables.inodes + block, offset);
		return { type: (await cursor.bytes(16)).readUInt16LE(0), cursor };
	}
}
