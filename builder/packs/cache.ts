import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { closeNames } from "../../bundle/closure.ts";
import { digest, nameRecord, packRecord } from "../../bundle/index-schema.ts";
import type { BlobFolder } from "../oci/blob-folder.ts";
import type { SourceResult } from "./context.ts";

const record = z.strictObject({
	pack: packRecord.extend({ names: z.array(nameRecord) }),
	exceptions: z.array(z.string()),
	/** Every blob of the pack: an entry counts only while all of them are there. */
	blobs: z.array(z.strictObject({ digest, size: z.int() })),
});

const DAY = 24 * 60 * 60 * 1000;

/** Packs by the digest of everything they are made from: `<cache>/packs/<id>.json`, with the blobs in `<cache>/blobs/`. */
export class PackCache {
	readonly #folder: string;
	readonly #blobs: BlobFolder;

	constructor(cacheDir: string, blobs: BlobFolder) {
		this.#folder = path.join(cacheDir, "packs");
		this.#blobs = blobs;
	}

	/** A pack that was built before from the same inputs and is still whole. */
	async find(id: string): Promise<SourceResult | undefined> {
		const known = await readRecord(this.#file(id));
		if (known === undefined) return undefined;
		const { pack, exceptions, blobs } = known;
		const there = await Promise.all(blobs.map((blob) => this.#blobs.has(blob)));
		if (!there.every(Boolean)) return undefined;
		const now = new Date();
		await utimes(this.#file(id), now, now); // clean goes by when an entry was last used
		return { pack, exceptions };
	}

	/** Written last and by rename: a pack that a kill cut short is built again. */
	async keep(id: string, { pack, exceptions }: SourceResult): Promise<void> {
		const closed = await closeNames(pack.names, (blob) => this.#blobs.read(blob.digest));
		const blobs = new Map(
			[...closed.values()].flatMap(({ blobs }) => [...blobs.values()]).map((blob) => [blob.digest, blob.size]),
		);
		const entry = { pack, exceptions, blobs: [...blobs].map(([digest, size]) => ({ digest, size })) };
		await mkdir(this.#folder, { recursive: true });
		const temporary = path.join(this.#folder, `.${randomUUID()}.tmp`);
		await writeFile(temporary, JSON.stringify(entry));
		await rename(temporary, this.#file(id));
	}

	/**
	 * Removes entries that no build has used for two weeks, blobs that no entry names, and what killed builds left. Nothing that
	 * is younger than a day goes, because a build may be about to use it. Answers how many files went.
	 */
	async clean(now: number = Date.now()): Promise<number> {
		const gone = await removeOld(this.#folder, now - 14 * DAY, () => true);
		const named = new Set<string>();
		for (const file of await readdir(this.#folder).catch(() => [])) {
			const known = await readRecord(path.join(this.#folder, file));
			for (const { digest } of known?.blobs ?? []) named.add(this.#blobs.path(digest));
		}
		const folders = ["", "sha256", "sha512"].map((name) => path.join(this.#blobs.dir, name));
		const removed = await Promise.all(
			folders.map((folder) => removeOld(folder, now - DAY, (file) => !named.has(file))),
		);
		return removed.reduce((sum, count) => sum + count, gone);
	}

	#file(id: string): string {
		return path.join(this.#folder, `${id}.json`);
	}
}

/** Undefined for what is not there or not whole. */
async function readRecord(file: string): Promise<z.infer<typeof record> | undefined> {
	try {
		return record.safeParse(JSON.parse(await readFile(file, "utf8"))).data;
	} catch {
		return undefined;
	}
}

/** By the change time: a link to an old file is new here. */
async function removeOld(folder: string, before: number, wanted: (file: string) => boolean): Promise<number> {
	let removed = 0;
	for (const name of await readdir(folder).catch(() => [])) {
		const file = path.join(folder, name);
		const found = await stat(file).catch(() => undefined);
		if (found?.isFile() !== true || found.ctimeMs > before || !wanted(file)) continue;
		await rm(file, { force: true });
		removed++;
	}
	return removed;
}
