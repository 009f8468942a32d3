import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
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
		const text = await readFile(this.#file(id), "utf8").catch(() => undefined);
		const known = text === undefined ? undefined : record.safeParse(JSON.parse(text));
		if (known?.success !== true) return undefined;
		const { pack, exceptions, blobs } = known.data;
		const there = await Promise.all(blobs.map((blob) => this.#blobs.has(blob)));
		return there.every(Boolean) ? { pack, exceptions } : undefined;
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

	#file(id: string): string {
		return path.join(this.#folder, `${id}.json`);
	}
}
