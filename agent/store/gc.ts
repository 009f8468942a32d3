import { lstat, readdir, rmdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { emptyQuarantine } from "./quarantine.ts";
import type { Store } from "./store.ts";

/** What a collection removed. */
export interface Freed {
	readonly blobs: number;
	readonly documents: number;
	readonly bytes: number;
}

/** What a collection must leave; asked for each file just before it would go. */
export interface Marks {
	/** Whether a set in the catalog, or the load that is going on, needs that blob (`sha256:…`) or signed document (its digest). */
	needs(name: string): boolean;
	/** While a load is going on, temporary files and empty folders may be about to be used. */
	loading(): boolean;
}

/**
 * Removes blobs and signed documents that nothing needs, and the folders that are empty then. Nothing that the catalog on disk
 * names is ever removed, so a crash at any point leaves a whole store, with some garbage at most; the folders are not synced,
 * since an unlink that a crash undoes is only done again. It writes nothing, so it works on a full disk. A blob that is being
 * sent may go: the descriptor that is open holds its bytes until the answer has ended.
 */
export async function collect(folder: string, marks: Marks): Promise<Freed> {
	let [blobs, documents, bytes] = [0, 0, 0];
	const remove = async (path: string) => {
		const size = (await lstat(path).catch(() => undefined))?.size;
		await unlink(path);
		bytes += size ?? 0;
	};
	// A load that ended badly could perhaps not even remove what it left.
	const left = marks.loading() ? [] : await readdir(join(folder, "ingest"));
	for (const name of left) await remove(join(folder, "ingest", name));
	for (const name of await readdir(join(folder, "signed"))) {
		const unfinished = name.endsWith(".new") && !marks.loading();
		if (!unfinished && marks.needs(name.split(".")[0] ?? "")) continue;
		await remove(join(folder, "signed", name));
		documents++;
	}
	for (const algorithm of ["sha256", "sha512"]) {
		for (const prefix of await readdir(join(folder, "blobs", algorithm))) {
			const parent = join(folder, "blobs", algorithm, prefix);
			let needed = 0;
			for (const hex of await readdir(parent)) {
				if (marks.needs(`${algorithm}:${hex}`)) {
					needed++;
					continue;
				}
				await remove(join(parent, hex));
				blobs++;
			}
			if (needed === 0 && !marks.loading()) await rmdir(parent);
		}
	}
	return { blobs, documents, bytes };
}

/**
 * As `store.gc`, and the quarantine is emptied as well: what somebody asks for who needs the room. Errors: E_STORE after a
 * damaged catalog, as long as nothing is committed: every blob would go that the next load takes over.
 */
export async function collectAll(store: Pick<Store, "damage" | "folder" | "gc">): Promise<Freed> {
	if (store.damage !== undefined) throw store.damage;
	const freed = await store.gc();
	return { ...freed, bytes: freed.bytes + (await emptyQuarantine(store.folder)) };
}
