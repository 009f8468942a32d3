import { lstat, mkdir, readdir, rename, rm, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { syncFolder } from "./files.ts";

/** Damaged blobs are kept for whoever looks into the disk, but not many: they serve nobody. */
const MAX_FILES = 16;
const MAX_BYTES = 256 * 2 ** 20;

/**
 * Takes a damaged blob's file out of the store, into `quarantine/`, from where nothing is ever served. The oldest ones make
 * room; one that is larger than the room is removed. Where it cannot be moved it is removed, and where that fails too, on a disk
 * that takes no writes any more, it stays: whoever asks is told, and no record of it is trusted any longer.
 */
export async function quarantine(folder: string, path: string): Promise<void> {
	const room = join(folder, "quarantine");
	try {
		const { size } = await lstat(path);
		if (size > MAX_BYTES) await unlink(path);
		else {
			await mkdir(room, { recursive: true, mode: 0o700 });
			await makeRoom(room, size);
			await rename(path, join(room, basename(path)));
		}
	} catch {
		await rm(path, { force: true }).catch(() => undefined);
	}
	// If a crash brings it back under its name, it looks as the catalog recorded it, and is found again only when it is read.
	await syncFolder(dirname(path)).catch(() => undefined);
}

/** Removes every quarantined file; gives their bytes. */
export async function emptyQuarantine(folder: string): Promise<number> {
	const files = await listQuarantine(folder);
	for (const { path } of files) await rm(path, { force: true });
	return files.reduce((sum, { size }) => sum + size, 0);
}

/** The quarantined files, those first that were put there first. */
export async function listQuarantine(folder: string): Promise<{ hex: string; path: string; size: number }[]> {
	const room = join(folder, "quarantine");
	const names = await readdir(room).catch(() => []);
	const files = await Promise.all(
		names.map(async (hex) => {
			const stat = await lstat(join(room, hex), { bigint: true }).catch(() => undefined);
			return stat && { hex, path: join(room, hex), size: Number(stat.size), since: stat.ctimeNs };
		}),
	);
	return files
		.filter((file) => file !== undefined)
		.sort((a, b) => (a.since < b.since ? -1 : 1))
		.map(({ hex, path, size }) => ({ hex, path, size }));
}

async function makeRoom(room: string, size: number): Promise<void> {
	const files = await listQuarantine(dirname(room));
	let bytes = files.reduce((sum, file) => sum + file.size, size);
	for (let i = 0; i < files.length && (bytes > MAX_BYTES || files.length - i >= MAX_FILES); i++) {
		await rm(files[i]!.path, { force: true });
		bytes -= files[i]!.size;
	}
}
