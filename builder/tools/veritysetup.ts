import { readFile } from "node:fs/promises";
import type { Run } from "./run.ts";

const BLOCK = 4096;

/** dm-verity facts of an image: data blocks of 4096 bytes, root hash and salt (hex). */
export interface Verity {
	readonly blocks: number;
	readonly hash: string;
	readonly salt: string;
}

/** veritysetup's command line: the hash tree goes behind the data, in the same file. Pure. */
export function verityArgs(image: string, size: number, salt: string, hashFile: string): string[] {
	const uuid = salt.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");
	return [
		...["format", "--uuid", uuid, "--salt", salt, "--hash", "sha256"],
		...["--data-block-size", String(BLOCK), "--hash-block-size", String(BLOCK), "--data-blocks", String(size / BLOCK)],
		...["--hash-offset", String(size), "--root-hash-file", hashFile, image, image],
	];
}

/**
 * Appends the hash tree of a file of whole blocks, then reads all of it back against the root hash. `salt`, 64 hex digits, decides the
 * superblock's UUID too, so that the same file gives the same bytes. Errors: E_TOOL_FAILED, E_TOOL_MISSING.
 */
export async function appendHashTree(
	run: Run,
	image: string,
	size: number,
	salt: string,
	work: string,
): Promise<Verity> {
	const hashFile = `${work}/root.hash`;
	await run("veritysetup", verityArgs(image, size, salt, hashFile));
	const hash = (await readFile(hashFile, "utf8")).trim();
	await run("veritysetup", ["verify", "--hash-offset", String(size), image, image, hash]);
	return { blocks: size / BLOCK, hash, salt };
}
