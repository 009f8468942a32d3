import { lstat, readFile, writeFile } from "node:fs/promises";
import type { CommittedSet } from "../../agent/store/catalog.ts";
import { evidenceOf } from "../../agent/store/evidence.ts";
import type { Store } from "../../agent/store/store.ts";
import { flip } from "./forge.ts";

/**
 * Flips one byte in each of the blobs, as a disk does: by its look every file is as it was. The store is one that no agent
 * holds open.
 */
export async function rot(store: Store, digests: readonly string[]): Promise<void> {
	const blobs: CommittedSet["blobs"] = { ...store.catalog!.blobs };
	for (const [i, digest] of digests.entries()) {
		const path = store.path(digest);
		const bytes = await readFile(path);
		await writeFile(path, flip(bytes, (i * 7919) % bytes.length));
		blobs[digest] = evidenceOf(await lstat(path, { bigint: true }));
	}
	await store.commit({ ...store.catalog!, blobs });
}
