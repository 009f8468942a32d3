import { constants } from "node:fs";
import { appendFile, type FileHandle, lstat, mkdir, open, readdir, readFile, rm, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { parseDigest } from "../../bundle/digest.ts";
import { digest, sha256 } from "../../bundle/index-schema.ts";
import { type Evidence, evidenceOf, sameEvidence } from "./evidence.ts";
import { replaceFile, syncFolder } from "./files.ts";

const evidence = z.tuple([z.int().min(0), z.string(), z.string()]);

/** `catalog.json`: the one file that says which set is committed. Names follow from the signed documents it points to. */
const catalog = z.strictObject({
	format: z.literal(1),
	/** Digest of the content release's payload; the signed document is `signed/<digest>.release.json`. */
	release: sha256,
	/** Index digests; the signed documents are `signed/<digest>.index.json` and `.envelope.json`. */
	bundles: z.array(sha256),
	blobs: z.record(digest, evidence),
});
export type Catalog = z.infer<typeof catalog>;

/**
 * Content-addressed blobs and the catalog, in `<store>/store`. Blobs get their final name only with verified, durable
 * bytes; a blob is trusted only while it looks as the catalog or the journal recorded it.
 */
export class Store {
	readonly folder: string;
	#catalog: Catalog | undefined;
	/** Evidence of the catalog and of an unfinished load's journal. */
	readonly #known = new Map<string, Evidence>();

	private constructor(folder: string) {
		this.folder = folder;
	}

	/** Opens or makes the store and sweeps what an interrupted load left behind. */
	static async open(folder: string): Promise<Store> {
		const store = new Store(folder);
		await rm(join(folder, "ingest"), { recursive: true, force: true });
		for (const name of ["ingest", "signed", "blobs/sha256", "blobs/sha512"]) {
			await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
		}
		// Folders that were just made must last as long as what is put into them.
		for (const parent of [dirname(folder), folder, join(folder, "blobs")]) await syncFolder(parent);
		store.#catalog = await store.#readCatalog();
		for (const [key, value] of Object.entries(store.#catalog?.blobs ?? {})) store.#known.set(key, value);
		for (const [key, value] of await store.#readJournal()) store.#known.set(key, value);
		return store;
	}

	/** The committed set, if there is one. */
	get catalog(): Catalog | undefined {
		return this.#catalog;
	}

	path(digest: string): string {
		const { algorithm, hex } = parseDigest(digest);
		return join(this.folder, "blobs", algorithm, hex.slice(0, 2), hex);
	}

	/** Evidence of a blob that is present and trusted without reading it. */
	async trusted(digest: string, size: number): Promise<Evidence | undefined> {
		const known = this.#known.get(digest);
		if (known === undefined || known[0] !== size) return undefined;
		const stat = await lstat(this.path(digest), { bigint: true }).catch(() => undefined);
		return stat?.isFile() && sameEvidence(known, evidenceOf(stat)) ? known : undefined;
	}

	open(digest: string): Promise<FileHandle> {
		return open(this.path(digest), constants.O_RDONLY | constants.O_NOFOLLOW);
	}

	/** Drops a blob whose bytes went bad on disk, so that the next load writes it again. */
	async discard(digest: string): Promise<void> {
		this.#known.delete(digest);
		await rm(this.path(digest), { force: true });
	}

	/**
	 * Remembers blobs that are renamed into place and whose folders are synced, so that a load that is cut short does not
	 * write them again. Losing the tail of the journal only costs time, so it is not synced.
	 */
	async remember(blobs: ReadonlyMap<string, Evidence>): Promise<void> {
		const lines = [...blobs].map(([digest, seen]) => `${digest} ${seen.join(" ")}\n`);
		for (const [digest, seen] of blobs) this.#known.set(digest, seen);
		await appendFile(join(this.folder, "journal"), lines.join(""), { mode: 0o600 });
	}

	/** Keeps a signed document; the catalog that names it is written later. */
	async keepSigned(name: string, data: Uint8Array): Promise<void> {
		await replaceFile(join(this.folder, "signed", name), data);
	}

	readSigned(name: string): Promise<Buffer> {
		return readFile(join(this.folder, "signed", name));
	}

	/** The commit: after a crash at any instant the old catalog stands or the new one. */
	async commit(next: Catalog): Promise<void> {
		await replaceFile(join(this.folder, "catalog.json"), `${JSON.stringify(next)}\n`);
		this.#catalog = next;
		await rm(join(this.folder, "journal"), { force: true });
	}

	/** Removes signed documents that the committed set does not need, and blobs that neither it nor `wanted` needs. */
	async sweep(wanted: Iterable<string> = []): Promise<void> {
		const { release, bundles, blobs } = this.#catalog ?? { release: "", bundles: [], blobs: {} };
		const signed = new Set([release, ...bundles]);
		for (const name of await readdir(join(this.folder, "signed"))) {
			if (!signed.has(name.split(".")[0] ?? "")) await unlink(join(this.folder, "signed", name));
		}
		const keep = new Set([...Object.keys(blobs), ...wanted]);
		for (const algorithm of ["sha256", "sha512"]) {
			for (const prefix of await readdir(join(this.folder, "blobs", algorithm))) {
				const folder = join(this.folder, "blobs", algorithm, prefix);
				for (const hex of await readdir(folder)) {
					if (!keep.has(`${algorithm}:${hex}`)) await unlink(join(folder, hex));
				}
			}
		}
	}

	/** A catalog that does not parse is as good as none: everything is loaded again from signed content. */
	async #readCatalog(): Promise<Catalog | undefined> {
		const text = await readFile(join(this.folder, "catalog.json"), "utf8").catch(() => undefined);
		if (text === undefined) return undefined;
		try {
			return catalog.parse(JSON.parse(text));
		} catch {
			return undefined;
		}
	}

	async #readJournal(): Promise<[string, Evidence][]> {
		const text = await readFile(join(this.folder, "journal"), "utf8").catch(() => "");
		return text.split("\n").flatMap((line): [string, Evidence][] => {
			const found = /^(sha\d+:[0-9a-f]+) (\d+) (\d+) (\d+)$/.exec(line);
			return found ? [[found[1]!, [Number(found[2]), found[3]!, found[4]!]]] : []; // a torn last line is no evidence
		});
	}
}
