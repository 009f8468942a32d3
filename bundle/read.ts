import type { FileHandle } from "node:fs/promises";
import { SlipwayError } from "./errors.ts";

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
		rest = skip(rest, bytesRead);
	}
}

function skip(buffers: readonly Buffer[], bytes: number): Buffer[] {
	let rest = bytes;
	return buffers.flatMap((buffer) => {
		const cut = Math.min(rest, buffer.length);
		rest -= cut;
		return cut === buffer.length ? [] : [buffer.subarray(cut)];
	});
}
