import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { digest } from "../../bundle/index-schema.ts";
import { z } from "../../bundle/zod.ts";
import { type ScrubStatus, type State, slipwayErrors } from "../status/state.ts";
import { setsOf } from "./catalog.ts";
import { replaceFile } from "./files.ts";
import { checkDocuments, type Fault } from "./fsck.ts";
import type { StoreSource } from "./source.ts";
import { blobsOf } from "./store.ts";
import { tellCheck } from "./tell.ts";

const HOUR_MS = 3_600_000;
/** How often uptime is counted, and with it whether it is time. */
const TICK_MS = 60_000;
/** Uptime and position are written so often: what a crash loses of them. */
const SAVE_MS = 600_000;

/** How often the status is told how far it is. */
const TELL_MS = 1000;

/** Bytes in a row, at most, before a pause. */
const STRIDE = 8 * 2 ** 20;
/** A pause is so many times the time of the work before it: 10 % of a core at most. */
const REST = 9;
/** Bytes in a second, at most. */
const RATE = 32 * 2 ** 20;
/** Who is busy is waited for, but not longer than this for each stride: a box that is always busy is read too. */
const PATIENCE_MS = 10_000;

/**
 * `scrub.json`. Time is uptime of the agent, counted by the monotonic clock: the wall clock of a box may jump, and must neither
 * put a scrub off for ever nor start one after the other.
 */
const record = z.strictObject({
	format: z.literal(1),
	/** Uptime since the last scrub ended, in milliseconds. */
	uptimeMs: z.number().min(0),
	/** A scrub is under way, and has read all blobs up to this digest; null: none is. */
	position: z.union([digest, z.literal("")]).nullable(),
	last: z.strictObject({ blobs: z.int(), bytes: z.int(), bad: z.int(), ended: z.string() }).nullable(),
});
type Record = z.infer<typeof record>;

export interface ScrubOptions {
	/** The store's folder of state. */
	readonly folder: string;
	/** Between two scrubs; 0: never by itself. */
	readonly everyHours: number;
	readonly state: State;
	readonly source: () => Promise<StoreSource>;
	/** Something else needs disk or processor. */
	readonly isBusy: () => boolean;
	readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/**
 * Reads the whole store in the background, from time to time, takes damaged blobs out of it and tells damaged documents. It is slow on purpose, waits
 * for those who pull and for loads, and goes on where it was after a restart.
 */
export class Scrub {
	readonly #options: ScrubOptions;
	readonly #file: string;
	readonly #ending = new AbortController();
	#record: Record = { format: 1, uptimeMs: 0, position: null, last: null };
	#progress = { bytesDone: 0, bytesTotal: 0 };
	#running: Promise<void> | undefined;
	#timer: NodeJS.Timeout | undefined;
	#counted = performance.now();
	#saved = performance.now();
	#saving = Promise.resolve();
	#told = 0;

	private constructor(options: ScrubOptions) {
		this.#options = options;
		this.#file = join(options.folder, "scrub.json");
	}

	/** Goes on from what is recorded; a record that does not parse is as good as none. */
	static async open(options: ScrubOptions): Promise<Scrub> {
		const scrub = new Scrub(options);
		const text = await readFile(scrub.#file, "utf8").catch(() => "{}");
		const found = record.safeParse(parse(text));
		if (found.success) scrub.#record = found.data;
		scrub.#tell();
		if (options.everyHours > 0) {
			scrub.#timer = setInterval(() => void scrub.#tick(), TICK_MS);
			scrub.#timer.unref();
		}
		if (scrub.#record.position !== null) scrub.start();
		return scrub;
	}

	get status(): ScrubStatus {
		return { running: this.#running !== undefined, ...this.#progress, last: this.#record.last };
	}

	/** Starts a scrub, or does nothing while one runs. Never throws: what goes wrong becomes state. */
	start(): void {
		if (this.#ending.signal.aborted) return;
		this.#running ??= this.#run().finally(() => {
			this.#running = undefined;
			this.#tell();
		});
		this.#tell();
	}

	/** Ends it where it is; the next start goes on from there. */
	async stop(): Promise<void> {
		clearInterval(this.#timer);
		this.#ending.abort();
		await this.#running;
		await this.#save();
	}

	/** Resolves when the scrub that runs has ended. */
	async settled(): Promise<void> {
		await this.#running;
	}

	async #tick(): Promise<void> {
		this.#count();
		if (this.#record.uptimeMs >= this.#options.everyHours * HOUR_MS) this.start();
		if (performance.now() - this.#saved >= SAVE_MS) await this.#save();
	}

	#count(): void {
		const now = performance.now();
		this.#record.uptimeMs += now - this.#counted;
		this.#counted = now;
	}

	async #run(): Promise<void> {
		try {
			await this.#readAll();
		} catch (error) {
			if (!this.#ending.signal.aborted) this.#options.state.condition("scrub", ...slipwayErrors(error));
		}
	}

	async #readAll(): Promise<void> {
		const source = await this.#options.source();
		const sets = setsOf(source.store.catalog);
		const sizes = new Map(sets.flatMap(blobsOf).map(({ digest, size }) => [digest, size]));
		const blobs = [...sizes].sort(([a], [b]) => (a < b ? -1 : 1));
		const from = this.#record.position ?? "";
		this.#record.position = from;
		const found: Fault[] = [];
		const rest = this.#restful(source);
		let read = 0;
		this.#progress = { bytesDone: 0, bytesTotal: blobs.reduce((sum, [, size]) => sum + size, 0) };
		for (const [digest, size] of blobs) {
			if (digest > from) {
				const { fault, seen } = await source.store.check(digest, size, rest);
				await rest(0);
				if (fault !== undefined && source.store.needs(digest)) {
					await source.condemn(digest, fault, seen);
					const release = sets[0] !== undefined && digest in sets[0].blobs ? "current" : "previous";
					found.push({ name: digest, fault, release });
				}
				read++;
			}
			this.#progress.bytesDone += size;
			this.#record.position = digest;
		}
		const ended = new Date().toISOString();
		const last = { blobs: read, bytes: this.#progress.bytesTotal, bad: found.length, ended };
		this.#record = { format: 1, uptimeMs: 0, position: null, last };
		this.#options.state.condition("scrub");
		tellCheck(this.#options.state, await checkDocuments(source.store), found);
		await this.#save();
	}

	/** Called after each piece of work: pauses so that all of it stays below its share. */
	#restful(source: StoreSource): (bytes: number) => Promise<void> {
		const nap = this.#options.sleep ?? ((ms, signal) => sleep(ms, undefined, { signal }));
		const { signal } = this.#ending;
		let [began, bytes] = [performance.now(), 0];
		return async (count) => {
			signal.throwIfAborted();
			bytes += count;
			const worked = performance.now() - began;
			if (bytes < STRIDE && worked < 20) return;
			await nap(Math.max(worked * REST, (bytes / RATE) * 1000 - worked), signal);
			const isBusy = () => source.busy || this.#options.isBusy();
			for (let waited = 0; isBusy() && waited < PATIENCE_MS; waited += 250) await nap(250, signal);
			if (performance.now() - this.#told >= TELL_MS) this.#tell();
			if (performance.now() - this.#saved >= SAVE_MS) await this.#save();
			[began, bytes] = [performance.now(), 0];
		};
	}

	#tell(): void {
		this.#told = performance.now();
		this.#options.state.update({ scrub: this.status });
	}

	/** One at a time. A record that cannot be written costs another reading, nothing else. */
	#save(): Promise<void> {
		this.#count();
		this.#saved = performance.now();
		const write = () => replaceFile(this.#file, `${JSON.stringify(this.#record)}\n`).catch(() => undefined);
		this.#saving = this.#saving.then(write);
		return this.#saving;
	}
}

function parse(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}
