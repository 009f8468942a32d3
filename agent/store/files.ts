import { constants } from "node:fs";
import { mkdir, open, rename, statfs } from "node:fs/promises";
import { dirname } from "node:path";

/** Makes the entries of a folder durable: a rename is only safe on disk once its folder is synced. */
export async function syncFolder(path: string): Promise<void> {
	const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
	try {
		await handle.sync();
	} finally {
		await handle.close();
	}
}

/**
 * Replaces `path` in one step: after a crash at any instant it holds the old bytes or the new, and once this returns, the
 * new ones for good.
 */
export async function replaceFile(path: string, data: string | Uint8Array, mode = 0o644): Promise<void> {
	await mkdir(dirname(path), { recursive: true });
	const handle = await open(`${path}.new`, "w", mode);
	try {
		await handle.writeFile(data);
		await handle.sync();
	} finally {
		await handle.close();
	}
	await rename(`${path}.new`, path);
	await syncFolder(dirname(path));
}

/** Linux magic numbers of file systems whose content does not outlive the power: tmpfs, ramfs, overlayfs (on a live root). */
const VOLATILE = new Set([0x01021994, 0x858458f6, 0x794c7630]);

export interface Volume {
	readonly kind: "persistent" | "ephemeral";
	readonly size: number;
	readonly free: number;
}

/** Kind, size and free space (bytes) of the volume that holds `path`. */
export async function volume(path: string): Promise<Volume> {
	const fs = await statfs(path);
	return {
		kind: VOLATILE.has(fs.type >>> 0) ? "ephemeral" : "persistent",
		size: fs.blocks * fs.bsize,
		free: fs.bavail * fs.bsize,
	};
}
