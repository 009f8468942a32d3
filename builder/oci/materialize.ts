import { chmod, constants, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import type { FileTree } from "./file-tree.ts";

/**
 * Writes a tree into a new folder, to run its programs for a check. Every path was checked when it came into the tree, and parents come
 * before what they hold and are real folders, so nothing is written through a link.
 */
export async function materialize(tree: FileTree, root: string): Promise<void> {
	await mkdir(root, { recursive: true });
	for (const folder of ["proc", "sys", "dev", "run", "tmp"]) await mkdir(path.join(root, folder));
	for (const [name, entry] of tree.entries()) {
		const target = path.join(root, name);
		if (entry.type === "directory") await mkdir(target, { recursive: true });
		else if (entry.type === "symlink") await symlink(entry.target, target);
		else if (entry.content instanceof Uint8Array)
			await writeFile(target, entry.content, { flag: "wx", mode: entry.mode });
		else {
			await copyFile(entry.content.file, target, constants.COPYFILE_EXCL);
			await chmod(target, entry.mode);
		}
	}
}
