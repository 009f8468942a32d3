import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import { PIECE, type Target } from "./transfer.ts";

/** No device asks for more. */
const ALIGNMENT = 4096;
/** What an allocator gives at least. */
const STEP = 16;

export interface RawDisk extends Target {
	/** Memory that the device can read into and write from. */
	readonly memory: Buffer;
	/** Its number, as the kernel knows it: `8:16`. */
	readonly number: string;
	close(): Promise<void>;
}

/**
 * Opens a disk for writing past the page cache (O_DIRECT), so that progress is true and reading back reads the medium, and for
 * this process alone (O_EXCL): the kernel refuses when the disk, or a part of it, is mounted anywhere, in swap, or in a pool.
 * Errors: E_BUSY, E_NOT_ROOT, E_DEVICE (write-protected, gone), E_IO.
 */
export async function openRawDisk(path: string): Promise<RawDisk> {
	const flags = constants.O_RDWR | constants.O_EXCL | constants.O_DIRECT;
	const handle = await open(path, flags).catch((cause: NodeJS.ErrnoException) => {
		throw refusal(path, cause);
	});
	try {
		const { rdev } = await handle.stat();
		return {
			number: numberOf(rdev),
			memory: await alignedMemory(path, handle),
			...target(handle),
			close: () => handle.close(),
		};
	} catch (error) {
		await handle.close();
		throw error;
	}
}

function target(handle: FileHandle): Target {
	// A write may take less than it is given; what is left keeps to sectors.
	const all = async (length: number, move: (done: number) => Promise<number>) => {
		for (let done = 0; done < length; ) {
			const moved = await move(done);
			if (moved === 0) throw new SlipwayError("E_IO", "The disk took or gave no more bytes.");
			done += moved;
		}
	};
	return {
		write: (piece, at) =>
			all(piece.length, async (done) => {
				const { bytesWritten } = await handle.write(piece, done, piece.length - done, at + done);
				return bytesWritten;
			}),
		read: (piece, at) =>
			all(piece.length, async (done) => (await handle.read(piece, done, piece.length - done, at + done)).bytesRead),
		flush: () => handle.sync(),
	};
}

/**
 * O_DIRECT wants memory at an address that the device likes, and addresses are not to be seen here. So the first one that
 * it reads into is found by trying. Errors: as those of opening it.
 */
async function alignedMemory(path: string, handle: FileHandle): Promise<Buffer> {
	const room = Buffer.allocUnsafeSlow(PIECE + ALIGNMENT);
	for (let at = 0; at < ALIGNMENT; at += STEP) {
		try {
			await handle.read(room, at, ALIGNMENT, 0);
			return room.subarray(at, at + PIECE);
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw refusal(path, error as NodeJS.ErrnoException);
		}
	}
	throw new SlipwayError("E_IO", "The disk cannot be read past the page cache.");
}

function refusal(path: string, cause: NodeJS.ErrnoException): SlipwayError {
	switch (cause.code) {
		case "EBUSY":
			return new SlipwayError("E_BUSY", `${path} is in use: a container or a pool has claimed it.`, {
				next: "Stop what uses it (lsof and lsblk may show it), or name another disk.",
				cause,
			});
		case "EACCES":
		case "EPERM":
			return new SlipwayError("E_NOT_ROOT", `Writing to ${path} needs root.`, { cause });
		case "EROFS":
			return new SlipwayError("E_DEVICE", `${path} is write-protected.`, { cause });
		case "ENOMEDIUM":
		case "ENODEV":
		case "ENXIO":
		case "ENOENT":
			return new SlipwayError("E_DEVICE", `${path} is not there any more.`, { cause });
		default:
			return new SlipwayError("E_IO", `${path} cannot be opened: ${cause.message}.`, { cause });
	}
}

/** The kernel's `major:minor` out of what stat() gives (glibc's makedev). */
export function numberOf(rdev: number): string {
	const [high, low] = [Math.floor(rdev / 2 ** 32), rdev % 2 ** 32];
	const major = ((low >>> 8) & 0xfff) | (high & ~0xfff);
	const minor = (low & 0xff) | ((low >>> 12) & ~0xff);
	return `${major}:${minor}`;
}
