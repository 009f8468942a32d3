import type { Inventory } from "../../bundle/inventory.ts";
import { setsOf } from "./catalog.ts";
import { readStoredIndex, readStoredRelease } from "./documents.ts";
import { blobsOf, type Store } from "./store.ts";

/**
 * What the store holds, of blobs only those that are there as they were verified; sorted, so that the same store gives the same
 * document. Errors: those of readStoredRelease and readStoredIndex.
 */
export async function takeInventory(store: Store): Promise<Inventory> {
	const sets = setsOf(store.catalog);
	const releases: Inventory["releases"] = [];
	for (const [i, set] of sets.entries()) {
		const { version, sequence } = await readStoredRelease(store, set.release);
		const role = i === 0 ? "current" : "previous";
		releases.push({ role, version, sequence, digest: set.release, bundles: set.bundles.toSorted() });
	}
	const bundles: Inventory["bundles"] = [];
	for (const indexDigest of new Set(sets.flatMap((set) => set.bundles).sort())) {
		const { name, version, arch, fips, sequence } = await readStoredIndex(store, indexDigest);
		bundles.push({ indexDigest, name, version, arch, fips, sequence });
	}
	const sizes = new Map(sets.flatMap(blobsOf).map(({ digest, size }) => [digest, size]));
	const blobs = [...sizes].map(([digest, size]) => ({ digest, size })).sort((a, b) => (a.digest < b.digest ? -1 : 1));
	const lost = new Set(await store.untrusted(blobs));
	return { format: 1, releases, bundles, blobs: blobs.filter((blob) => !lost.has(blob)) };
}
