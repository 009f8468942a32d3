import { constants } from "node:fs";
import { mkdir, open, readFile, rename, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";

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
	await makeFolder(dirname(path));
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

/** Makes a folder and those that lead to it, each durable in its own. */
async function makeFolder(path: string): Promise<void> {
	const first = await mkdir(path, { recursive: true });
	for (let at = path; first !== undefined && at.length >= first.length; at = dirname(at)) await syncFolder(dirname(at));
}

/** Linux magic numbers of file systems whose content does not outlive the power: tmpfs, ramfs, overlayfs (on a live root). */
const VOLATILE = new Set([0x01021994, 0x858458f6, 0x794c7630]);

export interface Volume {
	readonly kind: "persistent" | "ephemeral";
	/** Of the disk or partition, where it lies on one; else of the file system. */
	readonly size: number;
	readonly free: number;
}

/** Kind, size and free space (bytes) of the volume that holds `path`. */
export async function volume(path: string): Promise<Volume> {
	const fs = await statfs(path);
	return {
		kind: VOLATILE.has(fs.type >>> 0) ? "ephemeral" : "persistent",
		size: (await deviceSize((await stat(path)).dev)) ?? fs.blocks * fs.bsize,
		free: fs.bavail * fs.bsize,
	};
}

/** What a partition table and its alignment take of a disk whose one partition this is. */
const TABLE = 2 * 2 ** 20;

/**
 * Size in bytes of the block device with that number (as in st_dev), a partition's with its table's share: a disk of exactly
 * the size demanded must do, and neither the file system's own needs nor the table count. Undefined for what is on none.
 */
export async function deviceSize(dev: number, sys = "/sys"): Promise<number | undefined> {
	const folder = deviceFolder(dev, sys);
	const sectors = Number(await readFile(join(folder, "size"), "utf8").catch(() => "0"));
	if (sectors === 0) return undefined;
	const isPartition = await stat(join(folder, "partition")).then(
		() => true,
		() => false,
	);
	return sectors * 512 + (isPartition ? TABLE : 0);
}

/** What the kernel tells of the block device with that number (as in st_dev): a folder that vanishes with the device. */
export function deviceFolder(dev: number, sys = "/sys"): string {
	const [major, minor] = [(dev >>> 8) & 0xfff, (dev & 0xff) | ((dev >>> 12) & 0xfff00)];
	return join(sys, "dev/block", `${major}:${minor}`);
}
