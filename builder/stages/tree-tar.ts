import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { pack } from "tar-stream";
import type { FileTree } from "../oci/file-tree.ts";
import { writeEntries } from "../oci/layer.ts";

/** Writes a tree as a plain tar; same tree and epoch (seconds), same bytes. */
export async function writeTreeTar(file: string, tree: FileTree, epoch: number): Promise<void> {
	const tar = pack();
	await Promise.all([pipeline(tar, createWriteStream(file)), writeEntries(tar, tree.entries(), epoch)]);
}

/** A regular file of root. */
export function textFile(text: string, mode = 0o644) {
	return { type: "file", mode, uid: 0, gid: 0, content: Buffer.from(text) } as const;
}
