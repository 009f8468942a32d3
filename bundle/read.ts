import type { BigIntStats } from "node:fs";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { skipBytes } from "./buffers.ts";
import { SlipwayError } from "./errors.ts";

export interface RegularFile {
	readonly fd: FileHandle;
	readonly size: number;
	/** Throws E_SOURCE_CHANGED if the file was written to, or its metadata changed, since it was opened. */
	assertUnchanged(): Promise<void>;
	close(): Promise<void>;
}

/**
 * Opens a regular file that a stranger may have put there: a link in the last path segment is not followed, a named pipe
 * does not block. Undefined if there is none. Errors: E_IO.
 */
export async function openIfThere(path: string): Promise<RegularFile | undefined> {
	const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
	const fd = await open(path, flags).catch((cause: NodeJS.ErrnoException) => {
		if (cause.code === "ENOENT") return undefined;
		throw new SlipwayError("E_IO", `${path} cannot be opened: ${cause.message}.`, { cause });
	});
	if (fd === undefined) return undefined;
	const before = await fd.stat({ bigint: true });
	if (!before.isFile()) {
		await fd.close();
		throw new SlipwayError("E_IO", `${path} is not a regular file.`);
	}
	return {
		fd,
		size: Number(before.size),
		assertUnchanged: async () => {
			if (isSame(before, await fd.stat({ bigint: true }))) return;
			throw new SlipwayError("E_SOURCE_CHANGED", `${path} changed while it was being read.`);
		},
		close: () => fd.close(),
	};
}

/** Like openIfThere, for a file that must be there. Errors: E_IO. */
export async function openRegular(path: string): Promise<RegularFile> {
	const file = await openIfThere(path);
	if (file === undefined) throw new SlipwayError("E_IO", `There is no file ${path}.`);
	return file;
}

function isSame(before: BigIntStats, now: BigIntStats): boolean {
	return now.size === before.size && now.mtimeNs === before.mtimeNs && now.ctimeNs === before.ctimeNs;
}

/** The bytes of a small file that a stranger may have put there; undefined if there is none. Errors: E_LIMIT, E_IO, E_TRUNCATED. */
export async function readSmall(path: string, max: number): Promise<Buffer | undefined> {
	const file = await openIfThere(path);
	if (file === undefined) return undefined;
	try {
		if (file.size <= max) return await readExactly(file.fd, 0, file.size);
		throw new SlipwayError("E_LIMIT", `${path} has ${file.size} bytes; ${max / 1024} KiB are allowed.`);
	} finally {
		await file.close();
	}
}

/** Reads exactly `length` bytes, into `room` if given. Errors: E_TRUNCATED, E_IO. */
export async function readExactly(fd: FileHandle, offset: number, length: number, room?: Buffer): Promise<Buffer> {
	const out = room === undefined ? Buffer.allocUnsafe(length) : room.subarray(0, length);
	await fill(fd, offset, [out]);
	return out;
}

/** Fills all the buffers in order from one stretch of the file. Errors: E_TRUNCATED, E_IO. */
export async function fill(fd: FileHandle, offset: number, buffers: readonly Buffer[]): Promise<void> {
	let at = offset;
	for (let rest = buffers.filter((b) => b.length > 0); rest.length > 0; ) {
		const { bytesRead } = await fd.readv(rest, at).catch((cause: Error) => {
			throw new SlipwayError("E_IO", `Reading at byte ${at} failed: ${cause.message}.`, { cause });
		});
		if (bytesRead === 0) throw new SlipwayError("E_TRUNCATED", `The file ends at byte ${at}, where more was expected.`);
		at += bytesRead;
		rest = skipBytes(rest, bytesRead);
	}
}

/** Whether a file call failed for want of descriptors or because of the disk: nothing is said about what would be there. */
export function isTrouble(cause: unknown): boolean {
	return ["EIO", "EMFILE", "ENFILE"].includes((cause as NodeJS.ErrnoException | undefined)?.code ?? "");
}
