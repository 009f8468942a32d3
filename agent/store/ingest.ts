import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Evidence, evidenceOf } from "./evidence.ts";
import { syncFolder } from "./files.ts";
import type { Store } from "./store.ts";

/** Blobs that are being made durable while later ones are written. */
const SYNCING = 4;
/** Blobs per sync of the folders. */
const BATCH = 64;

interface Writer {
	readonly temp: string;
	readonly handle: Promise<FileHandle>;
}

/**
 * Takes verified blobs into the store: bytes go to `ingest/` as they come, and a blob gets its final name only in `done`,
 * which the caller calls once its digest is checked. Blobs are made durable in the background while later ones are written.
 */
export class Ingest {
	readonly #store: Store;
	readonly #writers = new Map<string, Writer>();
	readonly #syncing = new Set<Promise<void>>();
	#renamed = new Map<string, Evidence>();
	#failure: unknown;
	#serial = 0;

	constructor(store: Store) {
		this.#store = store;
	}

	/** Appends bytes to a blob. The buffer is the caller's again once the promise has settled. */
	async chunk(digest: string, data: Uint8Array): Promise<void> {
		if (this.#failure !== undefined) throw this.#failure;
		const writer = this.#writers.get(digest) ?? this.#start(digest);
		await writeAll(await writer.handle, data);
	}

	/** The blob is whole and its digest right: make it durable and give it its name. */
	async done(digest: string): Promise<void> {
		const writer = this.#writers.get(digest) ?? this.#start(digest); // an empty blob has no chunk
		this.#writers.delete(digest);
		const task = this.#finish(digest, writer);
		this.#watch(task);
		const tracked = task.catch(() => undefined).finally(() => this.#syncing.delete(tracked));
		this.#syncing.add(tracked);
		if (this.#syncing.size >= SYNCING) await Promise.race(this.#syncing);
		if (this.#renamed.size >= BATCH) await this.#settleFolders();
		if (this.#failure !== undefined) throw this.#failure;
	}

	/** Waits until everything handed over is durable under its final name. */
	async settle(): Promise<void> {
		await Promise.all(this.#syncing);
		if (this.#failure !== undefined) throw this.#failure;
		await this.#settleFolders();
	}

	/** Gives up: closes and removes what is unfinished. */
	async abort(): Promise<void> {
		await Promise.all(this.#syncing);
		for (const writer of this.#writers.values()) {
			await writer.handle.then((handle) => handle.close()).catch(() => undefined);
			await rm(writer.temp, { force: true });
		}
		this.#writers.clear();
	}

	#start(digest: string): Writer {
		const temp = join(this.#store.folder, "ingest", String(++this.#serial));
		const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
		const writer = { temp, handle: open(temp, flags, 0o600) };
		this.#watch(writer.handle);
		this.#writers.set(digest, writer);
		return writer;
	}

	async #finish(digest: string, writer: Writer): Promise<void> {
		const handle = await writer.handle;
		try {
			await handle.datasync();
		} finally {
			await handle.close();
		}
		const path = this.#store.path(digest);
		await mkdir(dirname(path), { recursive: true, mode: 0o700 });
		await rename(writer.temp, path);
		this.#renamed.set(digest, evidenceOf(await lstat(path, { bigint: true })));
	}

	async #settleFolders(): Promise<void> {
		const batch = this.#renamed;
		this.#renamed = new Map();
		const folders = new Set([...batch.keys()].map((digest) => dirname(this.#store.path(digest))));
		for (const folder of folders) await syncFolder(folder);
		for (const folder of new Set([...folders].map(dirname))) await syncFolder(folder); // new prefix folders
		if (batch.size > 0) await this.#store.remember(batch);
	}

	/** The first failure of anything in the background ends the load at the next call. */
	#watch(task: Promise<unknown>): void {
		task.catch((error: unknown) => {
			this.#failure ??= error;
		});
	}
}

async function writeAll(handle: FileHandle, data: Uint8Array): Promise<void> {
	for (let at = 0; at < data.length; ) {
		const { bytesWritten } = await handle.write(data, at, data.length - at);
		at += bytesWritten;
	}
}
