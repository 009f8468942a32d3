import { existsSync } from "node:fs";
import type { Digest } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { readFrame, readParts } from "../../bundle/reader.ts";
import type { AuthenticBundle } from "../../bundle/verify.ts";
import { deviceFolder } from "../store/files.ts";
import type { Frame, FrameCache } from "./frame-cache.ts";

const LOOK_MS = 2_000;
/** Frames that are tried to tell a bad sector from a medium that is gone. */
const TRIES = 3;
/** Between the last word of a closed medium and the closing of its files: who has just asked for a blob starts to read now. */
const GRACE_MS = 1_000;

export interface MediumOptions {
	readonly cache: FrameCache;
	/** Opens the bundle of that path again and authenticates it. */
	readonly reopen: (path: string) => Promise<AuthenticBundle>;
	/** Called when the medium goes away, with the error to tell, and when it is back, with undefined. */
	readonly onChange: (error: SlipwayError | undefined) => void;
}

let media = 0;

/**
 * The open bundles of a set, as clients and the load read them: by verified frames, through the descriptors that their
 * indexes were authenticated with. When the medium is pulled out it says so and tries to open the same bundles again until
 * they are back; another bundle in their place does not count.
 */
export class Medium {
	readonly #options: MediumOptions;
	/** Two media may hold the same bundle, and one of them be gone. */
	readonly #id = ++media;
	#bundles: readonly AuthenticBundle[];
	/** Those from before the medium came back, for whoever still reads them. */
	#old: AuthenticBundle[] = [];
	/** The block device behind each bundle, where there is one: it vanishes with the medium. */
	#devices: readonly string[] = [];
	#gone: SlipwayError | undefined;
	#readers = 0;
	#closing = false;
	#looking: Promise<void> | undefined;
	readonly #timer: NodeJS.Timeout;

	private constructor(bundles: readonly AuthenticBundle[], options: MediumOptions) {
		this.#bundles = bundles;
		this.#options = options;
		this.#timer = setInterval(() => void this.#look(), LOOK_MS);
		this.#timer.unref();
	}

	/** Takes over the bundles: they are closed with the medium. */
	static async of(bundles: readonly AuthenticBundle[], options: MediumOptions): Promise<Medium> {
		const medium = new Medium(bundles, options);
		try {
			medium.#devices = await devices(bundles);
			return medium;
		} catch (error) {
			medium.close();
			throw error;
		}
	}

	get bundles(): readonly AuthenticBundle[] {
		return this.#bundles;
	}

	/** Why nothing can be read just now; undefined while the medium is there. */
	get gone(): SlipwayError | undefined {
		return this.#gone;
	}

	/** Which bundle holds a blob, as a number, and its record there. */
	find(digest: Digest): { bundle: number; blob: AuthenticBundle["index"]["blobs"][number] } | undefined {
		for (const [bundle, { blob: record }] of this.#bundles.entries()) {
			const blob = record(digest);
			if (blob !== undefined) return { bundle, blob };
		}
		return undefined;
	}

	/** A frame, to be released. Errors: E_MEDIUM_GONE, E_FRAME when its bytes are wrong, E_IO when it alone cannot be read. */
	async frame(bundle: number, i: number): Promise<Frame> {
		if (this.#gone !== undefined) throw this.#gone;
		const from = this.#bundles[bundle]!;
		const read = (room: Buffer) => readParts(from, i, room);
		try {
			return await this.#options.cache.get(
				`${this.#id} ${from.indexDigest} ${i}`,
				from.dataRegion(i).size,
				(room) => read(room).catch(() => read(room)), // one bad transfer is no damage
			);
		} catch (error) {
			if (error instanceof SlipwayError && error.code === "E_FRAME") throw error;
			if (from !== this.#bundles[bundle]) return this.frame(bundle, i); // it was opened again meanwhile
			await this.check(error);
			throw this.#gone ?? error;
		}
	}

	/** Keeps the files open while someone reads, even if the medium is closed meanwhile. */
	async *reading<T>(work: AsyncIterable<T>): AsyncGenerator<T> {
		const end = this.#begin();
		try {
			yield* work;
		} finally {
			end();
		}
	}

	/** As reading, for work of another form. */
	async using<T>(work: () => Promise<T>): Promise<T> {
		const end = this.#begin();
		return work().finally(end);
	}

	/**
	 * After a failed read: finds out whether anything can be read. If not, the medium is gone from now on; one bad sector is
	 * not its end.
	 */
	async check(cause: unknown): Promise<void> {
		await this.#checkFiles();
		for (const bundle of this.#bundles) {
			const { length } = bundle.index.frames;
			for (let n = 0; n < TRIES; n++) {
				const frame = readFrame(bundle, Math.floor(Math.random() * length));
				if (
					await frame.then(
						() => true,
						(error) => error instanceof SlipwayError && error.code === "E_FRAME",
					)
				)
					return;
			}
		}
		this.#lose(cause);
	}

	#begin(): () => void {
		this.#readers++;
		return () => {
			this.#readers--;
			if (this.#readers === 0) void closeAll(this.#old.splice(0));
			this.#closeUnread();
		};
	}

	/** Looks no more, and closes the files a moment after the last one who reads has ended. */
	close(): void {
		if (this.#closing) return;
		this.#closing = true;
		clearInterval(this.#timer);
		this.#closeUnread();
	}

	#closeUnread(): void {
		if (!this.#closing || this.#readers > 0) return;
		const close = async () => {
			await this.#looking;
			if (this.#readers === 0) await closeAll([...this.#bundles, ...this.#old]);
		};
		setTimeout(close, GRACE_MS).unref();
	}

	#lose(cause: unknown): SlipwayError {
		if (this.#gone !== undefined) return this.#gone;
		const why = cause instanceof Error ? cause.message : String(cause);
		this.#gone = new SlipwayError("E_MEDIUM_GONE", `The medium with the content cannot be read: ${why}`, { cause });
		if (!this.#closing) this.#options.onChange(this.#gone);
		return this.#gone;
	}

	#look(): Promise<void> {
		this.#looking ??= (this.#gone === undefined ? this.#checkFiles() : this.#reopen()).finally(() => {
			this.#looking = undefined;
		});
		return this.#looking;
	}

	/** Its devices are there, and its files as they were: nothing was written to them, or cut off. */
	async #checkFiles(): Promise<void> {
		const lost = this.#devices.find((device) => !existsSync(device));
		if (lost !== undefined) this.#lose(new Error("its device has vanished."));
		for (const bundle of this.#bundles) {
			if (this.#closing || this.#gone !== undefined) return;
			await bundle.assertUnchanged().catch((error) => this.#lose(error));
		}
	}

	/** All or none: a set is of one piece. */
	async #reopen(): Promise<void> {
		const opened: AuthenticBundle[] = [];
		try {
			for (const { path, indexDigest } of this.#bundles) {
				const bundle = await this.#options.reopen(path);
				opened.push(bundle);
				if (bundle.indexDigest !== indexDigest) throw new Error("another bundle is in its place");
				// The index may come out of the kernel's memory; the data hardly all does.
				await readFrame(bundle, Math.floor(Math.random() * bundle.index.frames.length));
			}
			const found = await devices(opened);
			if (found.length < this.#devices.length || this.#closing) throw new Error("not there");
			this.#old.push(...this.#bundles);
			this.#bundles = opened;
			this.#devices = found;
			this.#gone = undefined;
			if (this.#readers === 0) await closeAll(this.#old.splice(0));
			this.#options.onChange(undefined);
		} catch {
			await closeAll(opened); // looked for again in a moment
		}
	}
}

async function devices(bundles: readonly AuthenticBundle[]): Promise<string[]> {
	const found = await Promise.all(bundles.map(async ({ fd }) => deviceFolder((await fd.stat()).dev)));
	return [...new Set(found)].filter(existsSync);
}

async function closeAll(bundles: readonly AuthenticBundle[]): Promise<void> {
	for (const bundle of bundles) await bundle.close().catch(() => undefined); // closing what was pulled out may fail
}
