import { copyFile, link, lstat, mkdir, open, readdir, rename, rm, utimes } from "node:fs/promises";
import path from "node:path";
import { giveToCaller } from "../signing/caller.ts";
import { lock } from "./lock.ts";

/**
 * Makes folder `to` hold the files of `from`, as hard links where the file system can. The new folder takes the old one's place
 * only when it is complete; if it holds these very files already, nothing is touched, so that reports beside them stay.
 * Errors: E_INTERRUPTED.
 */
export async function publish(from: string, to: string, signal: AbortSignal): Promise<void> {
	const names = (await readdir(from)).sort();
	if (await isPublished(from, to, names)) return;
	const parent = path.dirname(to);
	await mkdir(parent, { recursive: true });
	const held = await lock(to, signal, () => undefined);
	const fresh = path.join(parent, `.new-${path.basename(to)}`);
	const old = path.join(parent, `.old-${path.basename(to)}`);
	try {
		// What a build that was killed here has left.
		await rm(fresh, { recursive: true, force: true });
		await rm(old, { recursive: true, force: true });
		await mkdir(fresh);
		for (const name of names) await linkOrCopy(path.join(from, name), path.join(fresh, name));
		await giveToCaller(parent, fresh, ...names.map((name) => path.join(fresh, name)));
		await flush(fresh);
		await rename(to, old).catch((error: NodeJS.ErrnoException) => {
			if (error.code !== "ENOENT") throw error;
		});
		await rename(fresh, to);
		await flush(parent);
	} finally {
		await rm(fresh, { recursive: true, force: true });
		await rm(old, { recursive: true, force: true });
		await held.release();
	}
}

async function isPublished(from: string, to: string, names: readonly string[]): Promise<boolean> {
	for (const name of names) {
		const [a, b] = await Promise.all([from, to].map((folder) => lstat(path.join(folder, name)).catch(() => undefined)));
		if (a === undefined || b === undefined || a.size !== b.size || a.mtimeMs !== b.mtimeMs) return false;
	}
	return true;
}

/** A copy where `dist/` is on another file system, or the kernel protects links to files of others. */
async function linkOrCopy(from: string, to: string): Promise<void> {
	try {
		await link(from, to);
	} catch (error) {
		if (!["EXDEV", "EPERM", "EMLINK"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
		await copyFile(from, to);
		const { atime, mtime } = await lstat(from);
		await utimes(to, atime, mtime);
		await flush(to);
	}
}

async function flush(file: string): Promise<void> {
	const handle = await open(file, "r");
	await handle.sync().finally(() => handle.close());
}
