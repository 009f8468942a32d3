import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join, normalize } from "node:path";
import type { IsoRelease } from "../../bundle/index-schema.ts";

const CHUNK = 1 << 20;

/**
 * Reads every file of the signed ISO release and compares size and SHA-256: the boot menu's "check the medium".
 * Gives the paths that are damaged or missing.
 */
export async function checkFiles(
	root: string,
	files: IsoRelease["files"],
	progress: (done: number, bad: readonly string[]) => void,
): Promise<string[]> {
	const bad: string[] = [];
	for (const [i, file] of files.entries()) {
		progress(i, bad);
		const good = await isIntact(root, file).catch(() => false);
		if (!good) bad.push(file.path);
	}
	progress(files.length, bad);
	return bad;
}

async function isIntact(root: string, file: IsoRelease["files"][number]): Promise<boolean> {
	const path = normalize(file.path).replace(/^\/+/, "");
	if (path.split("/").includes("..")) return false;
	const handle = await open(join(root, path), constants.O_RDONLY | constants.O_NOFOLLOW);
	try {
		const hash = createHash("sha256");
		const buffer = Buffer.allocUnsafe(CHUNK);
		let size = 0;
		for (;;) {
			const { bytesRead } = await handle.read(buffer, 0, CHUNK, size);
			if (bytesRead === 0) break;
			hash.update(buffer.subarray(0, bytesRead));
			size += bytesRead;
		}
		return size === file.size && hash.digest("hex") === file.sha256;
	} finally {
		await handle.close();
	}
}
