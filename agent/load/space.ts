import { SlipwayError } from "../../bundle/errors.ts";
import type { BundleIndex } from "../../bundle/index-schema.ts";
import { volume } from "../store/files.ts";
import type { Store } from "../store/store.ts";

/** Left free for catalog, journal and file system overhead. */
const RESERVE = 32 * 2 ** 20;

/**
 * Checks that the blobs which are not in the store yet fit on its volume, before anything is written. The kept previous
 * release is given up where it stands in the way.
 * Errors: E_NO_SPACE, with what is needed and what is free.
 */
export async function checkSpace(store: Store, indexes: readonly Pick<BundleIndex, "blobs">[]): Promise<void> {
	const sizes = new Map(indexes.flatMap((index) => index.blobs.map((blob) => [blob.digest, blob.size] as const)));
	const missing = await store.untrusted([...sizes].map(([digest, size]) => ({ digest, size })));
	const needed = missing.reduce((sum, { size }) => sum + size, 0);
	if (needed === 0) return;
	let { free } = await volume(store.folder);
	if (needed + RESERVE > free && store.previous !== undefined) {
		await store.forgetPrevious();
		await store.gc();
		({ free } = await volume(store.folder));
	}
	if (needed + RESERVE <= free) return;
	throw new SlipwayError(
		"E_NO_SPACE",
		`The content needs ${mib(needed + RESERVE)} MiB in ${store.folder}; ${mib(free)} MiB are free.`,
		{ next: "Use a larger data disk, or a machine with more memory where there is none." },
	);
}

function mib(bytes: number): number {
	return Math.ceil(bytes / 2 ** 20);
}
