import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { skipBytes } from "../../bundle/buffers.ts";
import { parseDigest } from "../../bundle/digest.ts";
import { BlobHasher } from "./blob-hasher.ts";
import { type Evidence, evidenceOf } from "./evidence.ts";
import { syncFolder } from "./files.ts";
import type { Store } from "./store.ts";

/** Blobs that are being made durable while later ones are written; more would keep the thread pool from requests. */
const SYNCING = 2;

/** Names in `ingest/`; one that an earlier load could not remove is not met again. */
let serial = 0;

interface Writer {
	readonly temp: string;
	readonly handle: Promise<FileHandle>;
	readonly hash: Promise<ReturnType<BlobHasher["follow"]>>;
	written: number;
}

/**
 * Takes blobs into the store: bytes go to `ingest/` as they come, and a blob gets its final name only in `done`, which the
 * caller calls once its digest is checked. Blobs are made durable in the background while later ones are written:
 * data, name, the name's folders, and only then the journal says so. After a cut at most the blob that was being written and
 * those that were being made durable are written again.
 */
export class Ingest {
	readonly #store: Store;
	readonly #hasher = new BlobHasher();
	readonly #writers = new Map<string, Writer>();
	readonly #syncing = new Set<Promise<void>>();
	/** Under their names, their folders not synced yet. */
	#renamed = new Map<string, Evidence>();
	/** One sync of folders at a time; what is renamed meanwhile shares the next. */
	#settling: Promise<void> | undefined;
	#failure: unknown;
	/** Files in `ingest/` that have not got their names. */
	readonly #temps = new Set<string>();

	constructor(store: Store) {
		this.#store = store;
	}

	/** Appends bytes to a blob. The buffers are the caller's again once the promise has settled. */
	async write(digest: string, pieces: readonly Uint8Array[]): Promise<void> {
		if (this.#failure !== undefined) throw this.#failure;
		const writer = this.#writers.get(digest) ?? this.#start(digest);
		await writeAll(await writer.handle, pieces);
		for (const { length } of pieces) writer.written += length;
		(await writer.hash).advance(writer.written);
	}

	/** The digest, in hex, of what has been written of a blob, which is all. */
	async digestOf(digest: string): Promise<string> {
		const writer = this.#writers.get(digest) ?? this.#start(digest); // an empty blob has no chunk
		return (await writer.hash).end();
	}

	/** The blob is whole and its digest right: make it durable and give it its name. */
	async done(digest: string): Promise<void> {
		const writer = this.#writers.get(digest) ?? this.#start(digest);
		this.#writers.delete(digest);
		const task = this.#finish(digest, writer);
		this.#watch(task);
		const tracked = task.catch(() => undefined).finally(() => this.#syncing.delete(tracked));
		this.#syncing.add(tracked);
		if (this.#syncing.size >= SYNCING) await Promise.race(this.#syncing);
		if (this.#failure !== undefined) throw this.#failure;
	}

	/** Waits until everything handed over is durable under its final name. */
	async settle(): Promise<void> {
		await Promise.all(this.#syncing);
		await this.#settling;
		if (this.#failure !== undefined) throw this.#failure;
	}

	/** Ends it: closes and removes what is unfinished. What is durable already stays, for the next load. */
	async close(): Promise<void> {
		await Promise.all(this.#syncing);
		await this.#settling?.catch(() => undefined);
		await this.#hasher.stop();
		for (const { handle } of this.#writers.values()) {
			await handle.then((open) => open.close()).catch(() => undefined);
		}
		this.#writers.clear();
		// Why the load failed is what matters; what stays is swept.
		for (const temp of this.#temps) await rm(temp, { force: true }).catch(() => undefined);
	}

	#start(digest: string): Writer {
		const temp = join(this.#store.folder, "ingest", String(++serial));
		const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
		const handle = open(temp, flags, 0o600);
		const hash = handle.then(({ fd }) => this.#hasher.follow(fd, parseDigest(digest).algorithm));
		const writer = { temp, handle, hash, written: 0 };
		this.#temps.add(temp);
		this.#watch(hash);
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
		this.#temps.delete(writer.temp);
		const seen = evidenceOf(await lstat(path, { bigint: true }));
		this.#renamed.set(digest, seen); // into the batch of now: the one from before the wait may be under way
		this.#settleSoon();
	}

	#settleSoon(): void {
		if (this.#settling !== undefined) return;
		this.#settling = this.#settleFolders();
		this.#watch(this.#settling);
	}

	async #settleFolders(): Promise<void> {
		try {
			while (this.#renamed.size > 0) {
				const batch = this.#renamed;
				this.#renamed = new Map();
				const folders = new Set([...batch.keys()].map((digest) => dirname(this.#store.path(digest))));
				for (const folder of folders) await syncFolder(folder);
				for (const folder of new Set([...folders].map(dirname))) await syncFolder(folder); // new prefix folders
				await this.#store.remember(batch);
			}
		} finally {
			this.#settling = undefined; // at once: who comes next starts another one
		}
	}

	/** The first failure of anything in the background ends the load at the next call. */
	#watch(task: Promise<unknown>): void {
		task.catch((error: unknown) => {
			this.#failure ??= error;
		});
	}
}

async function writeAll(handle: FileHandle, pieces: readonly Uint8Array[]): Promise<void> {
	for (let rest = pieces.filter((piece) => piece.length > 0); rest.length > 0; ) {
		const { bytesWritten } = await handle.writev(rest);
		rest = skipBytes(rest, bytesWritten);
	}
}
