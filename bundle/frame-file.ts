import { hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { SlipwayError } from "./errors.ts";
import type { FrameRecord } from "./frames.ts";
import type { WholeFileHash } from "./whole-file.ts";

/** Frames being made at once: two cores' worth of compression, and a few MiB of memory. */
const IN_FLIGHT = 6;
/** Bytes after which the disk is set to work, so that the fsync at the end finds little left to do. */
const SYNC_EVERY = 64 * 1024 * 1024;

/** Appends frames to a file in order, while later ones are still being made. */
export class FrameFile {
	readonly frames: FrameRecord[] = [];
	/** Bytes written, or about to be. */
	size = 0;
	readonly #fd: FileHandle;
	readonly #whole: WholeFileHash;
	readonly #making: { frame: Promise<Buffer>; plain: number; done: () => void }[] = [];
	#writing: Promise<void> = Promise.resolve();
	#syncing: Promise<void> = Promise.resolve();
	#syncedTo = 0;

	constructor(fd: FileHandle, whole: WholeFileHash) {
		this.#fd = fd;
		this.#whole = whole;
	}

	/** Frames taken so far: the number of the next one. */
	get count(): number {
		return this.frames.length + this.#making.length;
	}

	/** Takes the next frame. Waits when too many are under way. `done` is called when it is written. Errors: E_NO_SPACE, E_IO. */
	async add(frame: Promise<Buffer>, plain: number, done: () => void = () => undefined): Promise<void> {
		frame.catch(() => undefined); // told when its turn comes
		this.#making.push({ frame, plain, done });
		if (this.#making.length >= IN_FLIGHT) await this.#shift();
	}

	/** Waits for all frames, then writes `tail` behind them. Errors: as add. */
	async finish(tail: (frames: readonly FrameRecord[]) => Promise<Buffer>): Promise<void> {
		while (this.#making.length > 0) await this.#shift();
		await this.#write(await tail(this.frames));
		await this.#writing;
		await this.#syncing;
	}

	/** Settles everything that is under way, whatever comes of it, so that the file can be closed. */
	async settle(): Promise<void> {
		await Promise.allSettled([...this.#making.map((m) => m.frame), this.#writing, this.#syncing]);
	}

	async #shift(): Promise<void> {
		const { frame, plain, done } = this.#making.shift()!;
		const bytes = await frame;
		this.frames.push([bytes.length, plain, hash("sha256", bytes, "hex")]);
		await this.#write(bytes, done);
	}

	/** One write is under way while the next frame is hashed. */
	async #write(bytes: Buffer, done: () => void = () => undefined): Promise<void> {
		await this.#writing;
		const at = this.size;
		this.size += bytes.length;
		this.#writing = writeAll(this.#fd, bytes, at).then(() => {
			this.#whole.advance(at + bytes.length);
			done();
		});
		this.#writing.catch(() => undefined); // told by the next write, or by finish
		if (this.size - this.#syncedTo < SYNC_EVERY) return;
		await this.#syncing;
		this.#syncedTo = this.size;
		this.#syncing = this.#fd.datasync().catch(ioError);
		this.#syncing.catch(() => undefined); // told by the next one, or by finish: the kernel reports a lost write once
	}
}

async function writeAll(fd: FileHandle, bytes: Buffer, at: number): Promise<void> {
	for (let done = 0; done < bytes.length; ) {
		done += (await fd.write(bytes, done, bytes.length - done, at + done).catch(ioError)).bytesWritten;
	}
}

/** Turns a failed file call into one of ours. Errors: E_NO_SPACE, E_IO. */
export function ioError(cause: NodeJS.ErrnoException): never {
	const full = cause.code === "ENOSPC" || cause.code === "EDQUOT";
	throw new SlipwayError(full ? "E_NO_SPACE" : "E_IO", `Writing the bundle failed: ${cause.message}.`, { cause });
}
