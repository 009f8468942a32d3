import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import { readExactly } from "../../bundle/read.ts";

/** Bytes written at once: a multiple of every stick's erase block that is worth having. */
export const PIECE = 4 * 1024 * 1024;

/** A disk, as far as writing an ISO needs it. Pieces begin at multiples of PIECE. */
export interface Target {
	write(piece: Buffer, at: number): Promise<void>;
	/** Fills the buffer with what is on the medium itself, not in a cache. */
	read(piece: Buffer, at: number): Promise<void>;
	/** Returns when all that was written is on the medium. */
	flush(): Promise<void>;
}

export interface Source {
	readonly fd: FileHandle;
	/** Bytes. */
	readonly size: number;
	/** What the source was checked to be; hex. */
	readonly sha256: string;
}

export interface Transfer {
	readonly source: Source;
	readonly target: Target;
	/** Memory of PIECE bytes in which every piece is moved; disks want it aligned. */
	readonly memory: Buffer;
	readonly signal: AbortSignal;
	onProgress(done: number, total: number): void;
}

/**
 * Writes the whole source, flushed. The first piece holds the partition table and what firmware starts: it is cleared first
 * and written last, so that a stick that is only half written starts nothing and shows no old partitions.
 * Gives the SHA-256 of each piece. With a signal that has come before nothing is written. Errors: E_INTERRUPTED, E_SOURCE_CHANGED, E_IO, E_TRUNCATED.
 */
export async function writeAll(o: Transfer): Promise<string[]> {
	const { source, target, signal } = o;
	if (signal.aborted) throw new SlipwayError("E_INTERRUPTED", "Interrupted.");
	const whole = createHash("sha256").update(await piece(o, 0));
	const pieces = [sha256(await piece(o, 0))];
	await target.write(o.memory.subarray(0, lengthAt(source, 0)).fill(0), 0);
	await target.flush();
	for (let at = PIECE; at < source.size; at += PIECE) {
		if (signal.aborted) throw new SlipwayError("E_INTERRUPTED", "Interrupted.");
		const bytes = await piece(o, at);
		whole.update(bytes);
		pieces.push(sha256(bytes));
		await target.write(bytes, at);
		o.onProgress(at + bytes.length - lengthAt(source, 0), source.size);
	}
	await target.flush();
	if (signal.aborted) throw new SlipwayError("E_INTERRUPTED", "Interrupted.");
	const first = await piece(o, 0);
	if (whole.digest("hex") !== source.sha256 || sha256(first) !== pieces[0]) {
		throw new SlipwayError("E_SOURCE_CHANGED", "The ISO changed while it was being written.");
	}
	await target.write(first, 0);
	await target.flush();
	o.onProgress(source.size, source.size);
	return pieces;
}

/**
 * Reads back what writeAll() wrote and compares it by SHA-256. When it is not the same the first piece is cleared, so that
 * nobody starts a machine from it. Errors: E_DIGEST_MISMATCH with the first byte that differs, E_INTERRUPTED, E_IO.
 */
export async function compareAll(o: Transfer, pieces: readonly string[]): Promise<void> {
	const { source, target, signal } = o;
	const whole = createHash("sha256");
	for (const [i, expected] of pieces.entries()) {
		if (signal.aborted) throw new SlipwayError("E_INTERRUPTED", "Interrupted.");
		const at = i * PIECE;
		const bytes = o.memory.subarray(0, lengthAt(source, at));
		await target.read(bytes, at);
		if (sha256(bytes) !== expected) throw await differs(o, at, Buffer.from(bytes));
		whole.update(bytes);
		o.onProgress(at + bytes.length, source.size);
	}
	if (whole.digest("hex") !== source.sha256) throw new SlipwayError("E_INTERNAL", "The pieces are not the whole.");
}

async function differs(o: Transfer, at: number, got: Buffer): Promise<SlipwayError> {
	const expected = await piece(o, at);
	const offset =
		at +
		Math.max(
			0,
			got.findIndex((byte, i) => byte !== expected[i]),
		);
	await o.target.write(o.memory.subarray(0, lengthAt(o.source, 0)).fill(0), 0);
	await o.target.flush();
	const message = `What was read back differs from what was written at byte ${offset} (0x${offset.toString(16)}).`;
	return new SlipwayError("E_DIGEST_MISMATCH", message, {
		next: "It starts nothing now. Use another stick: this one loses data, or has less room than it says.",
	});
}

function piece({ source, memory }: Transfer, at: number): Promise<Buffer> {
	return readExactly(source.fd, at, lengthAt(source, at), memory);
}

function lengthAt(source: Source, at: number): number {
	return Math.min(PIECE, source.size - at);
}

function sha256(bytes: Buffer): string {
	return createHash("sha256").update(bytes).digest("hex");
}
