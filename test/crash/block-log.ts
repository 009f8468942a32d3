import { closeSync, openSync, readSync } from "node:fs";

/** One write, flush or discard that reached the disk, in the order in which it did. Offsets and lengths in bytes. */
export interface Entry {
	readonly offset: number;
	readonly length: number;
	readonly flush: boolean;
	readonly discard: boolean;
	/** Where its bytes stand in the log. */
	readonly dataAt: number;
}

const MAGIC = 0x6a736677736872n;
const SECTOR = 512;
const FLAG = { flush: 1n, fua: 2n, discard: 4n };

/**
 * Reads the log that QEMU's `blklogwrites` writes, in the format of the kernel's dm-log-writes: one sector that names the
 * format, then for each entry one sector with four u64 (sector, sectors, flags, length of data) and the data. The log may
 * still grow: the count in its first sector is then late, so entries are followed until there is none.
 */
export class BlockLog {
	readonly entries: Entry[] = [];
	readonly #fd: number;
	#at = SECTOR;

	constructor(path: string) {
		this.#fd = openSync(path, "r");
	}

	/** Reads the entries that have come since the last call, and gives how many there are. */
	read(): number {
		const head = Buffer.alloc(SECTOR);
		readSync(this.#fd, head, 0, SECTOR, 0);
		while (readSync(this.#fd, head, 0, SECTOR, this.#at) === SECTOR) {
			const [sector, sectors, flags] = [0, 8, 16].map((at) => head.readBigUInt64LE(at)) as [bigint, bigint, bigint];
			if (sectors === 0n && flags === 0n) break;
			if ((flags & ~(FLAG.flush | FLAG.fua | FLAG.discard)) !== 0n)
				throw new Error(`unknown flags ${flags} in the log`);
			const discard = (flags & FLAG.discard) !== 0n;
			const length = Number(sectors) * SECTOR;
			// A write that is flushed before it ends does not occur: a loop device asks for flushes of their own.
			if ((flags & FLAG.fua) !== 0n && length > 0) throw new Error("the log holds FUA writes");
			const flush = (flags & FLAG.flush) !== 0n;
			this.entries.push({ offset: Number(sector) * SECTOR, length, flush, discard, dataAt: this.#at + SECTOR });
			this.#at += SECTOR + (discard ? 0 : length);
		}
		return this.entries.length;
	}

	/** Whether the first sector, which the daemon writes with the first flush, says what the format says. */
	isComplete(): boolean {
		const head = Buffer.alloc(SECTOR);
		readSync(this.#fd, head, 0, SECTOR, 0);
		const [magic, , entries] = [0, 8, 16].map((at) => head.readBigUInt64LE(at));
		return magic === MAGIC && head.readUInt32LE(24) === SECTOR && entries === BigInt(this.entries.length);
	}

	/** The bytes that the entry writes; a discard leaves zeros. */
	data(entry: Entry): Buffer {
		const bytes = Buffer.alloc(entry.length);
		if (!entry.discard) readSync(this.#fd, bytes, 0, entry.length, entry.dataAt);
		return bytes;
	}

	close(): void {
		closeSync(this.#fd);
	}
}
