import { lstat, readdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import type { BundleIndex } from "../../bundle/index-schema.ts";
import { emptyQuarantine } from "../store/quarantine.ts";
import type { Store } from "../store/store.ts";

const MIB = 2 ** 20;
/** Left free for file system overhead. */
const RESERVE = 32 * MIB;
/** Files and folders beside the blobs: signed documents, journal, a folder for each prefix. */
const RESERVE_INODES = 600;
/** Bytes that catalog, its next form and journal take for one blob. */
const RECORDS = 512;

interface Room {
	readonly bytes: number;
	readonly files: number;
}

/**
 * Checks that the blobs which are not in the store yet, and what is written beside them, fit on its volume, by blocks and by
 * number, and under the limit that the configuration sets (`limits.storeMiB`; 0: none), before anything is written. Where they
 * do not, the quarantine is emptied, and the kept previous release is given up if that makes room enough. Errors: E_NO_SPACE,
 * with what is needed, what is free, and the limit if that is what is in the way.
 */
export async function checkSpace(
	store: Store,
	indexes: readonly Pick<BundleIndex, "blobs">[],
	limitMiB = 0,
): Promise<void> {
	const sizes = new Map(indexes.flatMap((index) => index.blobs.map((blob) => [blob.digest, blob.size] as const)));
	const missing = await store.untrusted([...sizes].map(([digest, size]) => ({ digest, size })));
	if (missing.length === 0) return;
	const { bsize } = await statfs(store.folder);
	const documents = indexes.map((index) => Buffer.byteLength(JSON.stringify(index)));
	const needed = {
		bytes: inBlocks([...missing.map(({ size }) => size), ...documents], bsize) + sizes.size * RECORDS,
		files: missing.length,
	};
	let fault = await shortage(store.folder, needed, limitMiB);
	if (fault !== undefined && (await emptyQuarantine(store.folder)) > 0)
		fault = await shortage(store.folder, needed, limitMiB);
	if (fault !== undefined && store.previous !== undefined) {
		if (await shortage(store.folder, needed, limitMiB, await heldByPrevious(store, sizes))) throw fault;
		await store.forgetPrevious();
		await store.gc();
		fault = await shortage(store.folder, needed, limitMiB);
	}
	if (fault !== undefined) throw fault;
}

/** What is in the way, if `gain` were free as well. */
async function shortage(
	folder: string,
	needed: Room,
	limitMiB: number,
	gain: Room = { bytes: 0, files: 0 },
): Promise<SlipwayError | undefined> {
	const { bavail, bsize, files, ffree } = await statfs(folder);
	const [wanted, free] = [needed.bytes + RESERVE, bavail * bsize];
	if (wanted > free + gain.bytes) {
		return new SlipwayError(
			"E_NO_SPACE",
			`The content needs ${mib(wanted)} MiB in ${folder}; ${mib(free)} MiB are free.`,
			{ next: "Use a larger data disk, or a machine with more memory where there is none." },
		);
	}
	// Some file systems have no fixed number of them and say 0.
	if (files > 0 && needed.files + RESERVE_INODES > ffree + gain.files) {
		return new SlipwayError(
			"E_NO_SPACE",
			`The content needs ${needed.files + RESERVE_INODES} files in ${folder}; its file system has room for ${ffree}.`,
			{ next: "Use a data disk whose file system has more inodes." },
		);
	}
	if (limitMiB === 0) return undefined;
	const used = await diskUse(folder);
	if (used + needed.bytes <= limitMiB * MIB + gain.bytes) return undefined;
	return new SlipwayError(
		"E_NO_SPACE",
		`The store may take ${limitMiB} MiB (limits.storeMiB); it takes ${mib(used)} MiB and the content needs ${mib(needed.bytes)} MiB more.`,
		{ next: "Raise limits.storeMiB, or bring less content." },
	);
}

/** What goes with the previous release: its blobs that neither the present set nor the one that comes has. */
async function heldByPrevious(store: Store, coming: ReadonlyMap<string, number>): Promise<Room> {
	const present = store.catalog?.blobs ?? {};
	let [bytes, files] = [0, 0];
	for (const digest of Object.keys(store.previous?.blobs ?? {})) {
		if (Object.hasOwn(present, digest) || coming.has(digest)) continue;
		const stat = await lstat(store.path(digest)).catch(() => undefined);
		if (stat === undefined) continue;
		bytes += stat.blocks * 512;
		files++;
	}
	return { bytes, files };
}

/** Bytes that files of these sizes take of a disk. */
function inBlocks(sizes: readonly number[], block: number): number {
	return sizes.reduce((sum, size) => sum + Math.ceil(size / block) * block, 0);
}

/** Bytes that a folder takes of its disk, as the file system counts them. */
async function diskUse(folder: string): Promise<number> {
	let sum = 0;
	for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
		const stat = await lstat(join(entry.parentPath, entry.name)).catch(() => undefined); // gone meanwhile
		sum += (stat?.blocks ?? 0) * 512;
	}
	return sum;
}

function mib(bytes: number): number {
	return Math.ceil(bytes / MIB);
}
