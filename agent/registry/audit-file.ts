import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Pull, PullLog } from "./audit.ts";

export interface AuditLimits {
	/** Size of one file in MiB. */
	readonly maxMiB: number;
	/** Files that are kept, the current one included. */
	readonly keep: number;
}

const CURRENT = "pulls.jsonl";
const FLUSH_MS = 1_000;
/** Lines that wait for the disk, in bytes: enough for a busy second, and never more memory than this. */
const MAX_WAITING = 1 << 20;
/** Bytes; the texts of a pull are cut so that none comes near it. */
const LONGEST_LINE = 4096;
const FLUSH_AT = MAX_WAITING / 4;

/**
 * The pull audit: one JSON line for each pull, appended to `pulls.jsonl`; full files become `pulls.1.jsonl` (the youngest),
 * `pulls.2.jsonl` and so on. Recording never waits: lines are written once a second, and when the disk does not take them and
 * the memory for waiting ones is full, they are dropped and counted; the count is written when the disk works again. `seq`
 * rises by one with each pull, also over restarts, so that order and gaps show even if the clock is wrong.
 */
export class AuditFile implements PullLog {
	readonly #folder: string;
	readonly #limits: AuditLimits;
	readonly #onFault: (error?: NodeJS.ErrnoException) => void;
	#waiting: string[] = [];
	#bytes = 0;
	#dropped = 0;
	#seq = 0;
	#timer: NodeJS.Timeout | undefined;
	#writing: Promise<void> | undefined;
	#faulty = false;

	private constructor(folder: string, limits: AuditLimits, onFault: (error?: NodeJS.ErrnoException) => void) {
		this.#folder = folder;
		this.#limits = limits;
		this.#onFault = onFault;
	}

	/** Goes on after what the folder holds. `onFault` is told of the first failed write, and, without an error, of recovery. */
	static async open(
		folder: string,
		limits: AuditLimits,
		onFault: (error?: NodeJS.ErrnoException) => void,
	): Promise<AuditFile> {
		const file = new AuditFile(folder, limits, onFault);
		file.#seq = (await file.#lastSeq(0)) ?? (await file.#lastSeq(1)) ?? 0;
		return file;
	}

	record(pull: Pull): void {
		this.#add(pull);
	}

	/** Writes what waits, if the disk takes it. Nothing may be recorded any more. */
	async close(): Promise<void> {
		await this.#writing;
		await this.#flush();
		clearTimeout(this.#timer);
	}

	#add(entry: object): void {
		const line = `${JSON.stringify({ seq: ++this.#seq, time: new Date().toISOString(), ...entry })}\n`;
		if (this.#bytes + line.length > MAX_WAITING) {
			this.#dropped++;
			return;
		}
		this.#waiting.push(line); // every text in it is ASCII, so characters are bytes
		this.#bytes += line.length;
		if (this.#bytes > FLUSH_AT && !this.#faulty) void this.#flush();
		else this.#flushSoon();
	}

	#flushSoon(): void {
		this.#timer ??= setTimeout(() => void this.#flush(), FLUSH_MS).unref();
	}

	#flush(): Promise<void> {
		this.#writing ??= this.#write().finally(() => {
			this.#writing = undefined;
			if (this.#waiting.length > 0) this.#flushSoon();
		});
		return this.#writing;
	}

	/** Never rejects. */
	async #write(): Promise<void> {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		if (this.#waiting.length === 0) return;
		const [lines, bytes] = [this.#waiting, this.#bytes];
		this.#waiting = [];
		try {
			await this.#append(Buffer.from(lines.join("")));
			this.#bytes -= bytes;
			this.#told();
		} catch (error) {
			this.#waiting = [...lines, ...this.#waiting];
			this.#told(error as NodeJS.ErrnoException);
		}
	}

	/** A change is told once; what was dropped meanwhile is noted when it is over. */
	#told(error?: NodeJS.ErrnoException): void {
		if (this.#faulty !== (error !== undefined)) this.#onFault(error);
		this.#faulty = error !== undefined;
		if (error !== undefined || this.#dropped === 0) return;
		const dropped = this.#dropped;
		this.#dropped = 0;
		this.#add({ dropped });
	}

	async #append(data: Buffer): Promise<void> {
		let handle = await this.#open();
		try {
			let { size } = await handle.stat();
			if (size > 0 && size + data.length > this.#limits.maxMiB * 2 ** 20) {
				await handle.close();
				await this.#rotate();
				handle = await this.#open();
				size = 0;
			}
			try {
				// A line that a crash cut short must not spoil the next one.
				if (size > 0 && (await tail(handle, 1)) !== "\n") await handle.appendFile("\n");
				await handle.appendFile(data);
				await handle.datasync();
			} catch (error) {
				await handle.truncate(size).catch(() => undefined); // it is all written again
				throw error;
			}
		} finally {
			await handle.close();
		}
	}

	async #open(): Promise<FileHandle> {
		await mkdir(this.#folder, { recursive: true, mode: 0o700 });
		const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW } = constants;
		return open(this.#path(0), O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
	}

	async #rotate(): Promise<void> {
		const { keep } = this.#limits;
		for (const name of await readdir(this.#folder)) {
			const number = name === CURRENT ? 0 : Number(/^pulls\.(\d+)\.jsonl$/.exec(name)?.[1]);
			if (number >= keep - 1) await rm(join(this.#folder, name), { force: true });
		}
		for (let number = keep - 2; number >= 0; number--) {
			await rename(this.#path(number), this.#path(number + 1)).catch((error: NodeJS.ErrnoException) => {
				if (error.code !== "ENOENT") throw error;
			});
		}
	}

	#path(number: number): string {
		return join(this.#folder, number === 0 ? CURRENT : `pulls.${number}.jsonl`);
	}

	/** Of a file's last whole line. */
	async #lastSeq(number: number): Promise<number | undefined> {
		const handle = await open(this.#path(number), constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined);
		if (handle === undefined) return undefined;
		try {
			const text = await tail(handle, LONGEST_LINE * 2);
			const last =
				text
					.slice(0, Math.max(0, text.lastIndexOf("\n")))
					.split("\n")
					.at(-1) ?? "";
			const seq = /^\{"seq":(\d{1,15}),/.exec(last)?.[1];
			return seq === undefined ? undefined : Number(seq);
		} catch {
			return undefined; // a file that cannot be read is told when it is written to
		} finally {
			await handle.close();
		}
	}
}

/** The last `most` bytes of a file. */
async function tail(handle: FileHandle, most: number): Promise<string> {
	const { size } = await handle.stat();
	const length = Math.min(size, most);
	const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
	return buffer.toString("latin1");
}
