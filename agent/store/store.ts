import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseDigest } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { advance, type Catalog, type CommittedSet, readCatalog, setsOf, writeCatalog } from "./catalog.ts";
import { type Check, checkFile, type Pace } from "./check.ts";
import { type Evidence, evidenceOf, sameEvidence } from "./evidence.ts";
import { replaceFile, syncFolder } from "./files.ts";
import { collect, type Freed } from "./gc.ts";
import { appendJournal, readJournal, removeJournal } from "./journal.ts";
import { quarantine } from "./quarantine.ts";

/** Files whose look is asked for at the same time. */
const PARALLEL = 256;

export interface Blob {
	readonly digest: string;
	readonly size: number;
}

/**
 * Content-addressed blobs and the catalog, in `<store>/store`. Blobs get their final name only with verified, durable
 * bytes; a blob is trusted only while it looks as the catalog or the journal recorded it.
 */
export class Store {
	readonly folder: string;
	/** Blobs whose bytes were read and found right since the start, in which file. */
	readonly proved = new Map<string, Evidence>();
	#catalog: Catalog | undefined;
	/** One whose writing failed: the disk may hold it all the same, so what it names must stay. */
	#attempted: Catalog | undefined;
	#damage: SlipwayError | undefined;
	/** Evidence of the catalog and of an unfinished load's journal. */
	readonly #known = new Map<string, Evidence>();
	/** Blobs and signed documents of the load that is going on; empty when none is. */
	#wanted = new Set<string>();
	#collecting: Promise<unknown> = Promise.resolve();

	private constructor(folder: string) {
		this.folder = folder;
	}

	/** Opens or makes the store and sweeps what an interrupted load left behind. Errors: of files. */
	static async open(folder: string): Promise<Store> {
		const store = new Store(folder);
		for (const left of ["ingest", "catalog.json.new"]) await rm(join(folder, left), { recursive: true, force: true });
		for (const name of ["ingest", "signed", "blobs/sha256", "blobs/sha512"]) {
			await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
		}
		// Folders that were just made must last as long as what is put into them.
		for (const parent of [dirname(folder), folder, join(folder, "blobs")]) await syncFolder(parent);
		const { catalog, damage } = await readCatalog(folder);
		store.#catalog = catalog;
		store.#damage = damage;
		const sets = setsOf(store.#catalog).toReversed(); // the present set has the newer evidence
		for (const { blobs } of sets) for (const [digest, seen] of Object.entries(blobs)) store.#known.set(digest, seen);
		for (const [digest, seen] of await readJournal(folder)) store.#known.set(digest, seen);
		return store;
	}

	/** The committed set, if there is one. */
	get catalog(): Catalog | undefined {
		return this.#catalog;
	}

	/** What was wrong with the catalog when the store was opened, as long as no other has been written. */
	get damage(): SlipwayError | undefined {
		return this.#damage;
	}

	/** The release that was committed before the present one, with all its blobs. */
	get previous(): CommittedSet | undefined {
		return this.#catalog?.previous;
	}

	/** Whether a load is going on. */
	get loading(): boolean {
		return this.#wanted.size > 0;
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

	/** Those of the blobs that are not trusted: missing, changed, or never taken. */
	async untrusted<T extends Blob>(blobs: readonly T[]): Promise<T[]> {
		const found: T[] = [];
		for (let i = 0; i < blobs.length; i += PARALLEL) {
			const part = blobs.slice(i, i + PARALLEL);
			const seen = await Promise.all(part.map(({ digest, size }) => this.trusted(digest, size)));
			found.push(...part.filter((_, at) => seen[at] === undefined));
		}
		return found;
	}

	open(digest: string): Promise<FileHandle> {
		return open(this.path(digest), constants.O_RDONLY | constants.O_NOFOLLOW);
	}

	/**
	 * Takes blobs that are there, but not as recorded, for good again if a whole read proves them: after a lost catalog or
	 * journal, or when the disk was copied. Reading is cheaper than writing them anew. What is not right goes into quarantine.
	 * Gives the blobs that the store does not have. Errors: as check.
	 */
	async adopt<T extends Blob>(blobs: readonly T[]): Promise<T[]> {
		const lost: T[] = [];
		for (const blob of await this.untrusted(blobs)) {
			const { fault, seen } = await this.check(blob.digest, blob.size);
			if (fault === undefined) continue;
			if (seen !== undefined) await this.quarantine(blob.digest, seen);
			lost.push(blob);
		}
		return lost;
	}

	/**
	 * Reads a whole blob and says what is wrong with it, and which file that was (none: it is missing). One that is right, but
	 * looks otherwise than recorded, is recorded anew. Errors: of reading, where they say nothing about the blob's bytes.
	 */
	async check(digest: string, size: number, pace?: Pace): Promise<Partial<Check>> {
		const handle = await this.open(digest).catch((error: NodeJS.ErrnoException) => {
			if (error.code !== "ENOENT") throw error;
		});
		if (handle === undefined) return { fault: "its file is missing" };
		try {
			const found = await checkFile(handle, digest, size, pace);
			if (found.fault === undefined && !(await this.trusted(digest, size))) {
				await handle.datasync(); // its bytes may so far be in memory only
				const folder = dirname(this.path(digest));
				for (const path of [folder, dirname(folder)]) await syncFolder(path);
				await this.remember(new Map([[digest, found.seen]]));
			}
			return found;
		} finally {
			await handle.close();
		}
	}

	/**
	 * Takes a blob that was found damaged out of the store, so that it is never served and the next load writes it again.
	 * False when its file is no longer the one that was `seen`: a repair has replaced it meanwhile.
	 */
	async quarantine(digest: string, seen?: Evidence): Promise<boolean> {
		const stat = await lstat(this.path(digest), { bigint: true }).catch(() => undefined);
		if (seen !== undefined && stat !== undefined && !sameEvidence(seen, evidenceOf(stat))) return false;
		this.#known.delete(digest);
		this.proved.delete(digest);
		if (stat !== undefined) await quarantine(this.folder, this.path(digest));
		return true;
	}

	/**
	 * Remembers blobs that are renamed into place and whose folders are synced, so that a load that is cut short does not
	 * write them again.
	 */
	async remember(blobs: ReadonlyMap<string, Evidence>): Promise<void> {
		for (const [digest, seen] of blobs) this.#known.set(digest, seen);
		await appendJournal(this.folder, blobs);
	}

	/** Keeps a signed document; the catalog that names it is written later. */
	async keepSigned(name: string, data: Uint8Array): Promise<void> {
		this.#wanted.add(name.split(".")[0] ?? "");
		await replaceFile(join(this.folder, "signed", name), data);
	}

	readSigned(name: string): Promise<Buffer> {
		return readFile(join(this.folder, "signed", name));
	}

	/**
	 * The commit: after a crash at any instant the old catalog stands or the new one. The set that was present is kept as the
	 * previous one while it is whole; what went before that is for the next sweep.
	 */
	async commit(next: CommittedSet): Promise<void> {
		const { previous, ...present } = advance(this.#catalog, next);
		const lost = previous && (await this.untrusted(blobsOf(previous)));
		const catalog = previous && lost?.length === 0 ? { ...present, previous } : present;
		await this.#write(catalog);
		this.#damage = undefined;
		for (const [digest, seen] of Object.entries(catalog.blobs)) this.#known.set(digest, seen);
		await removeJournal(this.folder);
	}

	/** Commits the previous release in place of the present one, which becomes the previous. Errors: E_BLOB_MISSING. */
	async activatePrevious(): Promise<void> {
		const { previous } = this;
		if (previous === undefined) throw new SlipwayError("E_BLOB_MISSING", "The store keeps no previous release.");
		const lost = await this.untrusted(blobsOf(previous));
		if (lost[0] !== undefined)
			throw new SlipwayError(
				"E_BLOB_MISSING",
				`The previous release has lost ${lost.length} blobs (${lost[0].digest}).`,
			);
		const blobs = Object.fromEntries(Object.keys(previous.blobs).map((key) => [key, this.#known.get(key)!]));
		await this.commit({ ...previous, blobs });
	}

	/** Gives the previous release up, to make room for another one; its blobs go with the next sweep. */
	async forgetPrevious(): Promise<void> {
		if (this.#catalog?.previous === undefined) return;
		const { previous: _, ...present } = this.#catalog;
		await this.#write(present);
	}

	async #write(catalog: Catalog): Promise<void> {
		this.#attempted = catalog;
		await writeCatalog(this.folder, catalog);
		this.#catalog = catalog;
		this.#attempted = undefined;
	}

	/**
	 * Says which blobs a load needs from now on (none: no load is going on), and removes what neither it nor a set of the
	 * catalog needs.
	 */
	async sweep(wanted: Iterable<string> = []): Promise<Freed> {
		await this.#collecting.catch(() => undefined); // what it was about to remove may be wanted now
		this.#wanted = new Set(wanted);
		return this.gc();
	}

	/**
	 * Removes what nothing needs, at any time, also while a load is going on. One at a time. After a damaged catalog, what is
	 * needed is not known before the next load says so, and until then nothing is removed.
	 */
	gc(): Promise<Freed> {
		const run = async () => {
			if (this.#damage !== undefined && !this.loading) return { blobs: 0, documents: 0, bytes: 0 };
			const marks = { needs: (name: string) => this.needs(name), loading: () => this.loading };
			const freed = await collect(this.folder, marks);
			for (const seen of [this.#known, this.proved])
				for (const digest of seen.keys()) if (!this.needs(digest)) seen.delete(digest);
			return freed;
		};
		const done = this.#collecting.then(run, run);
		this.#collecting = done;
		return done;
	}

	/** Whether a set of the catalog, or the load that is going on, needs that blob or signed document. */
	needs(name: string): boolean {
		return (
			this.#wanted.has(name) ||
			[...setsOf(this.#catalog), ...setsOf(this.#attempted)].some(
				(set) => Object.hasOwn(set.blobs, name) || set.release === name || set.bundles.includes(name),
			)
		);
	}
}

/** The blobs of a committed set, by digest. */
export function blobsOf({ blobs }: CommittedSet): Blob[] {
	return Object.entries(blobs)
		.map(([digest, [size]]) => ({ digest, size }))
		.sort((a, b) => (a.digest < b.digest ? -1 : 1));
}
