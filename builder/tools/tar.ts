import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Run } from "./run.ts";

/** Unpacks a tar that this build made itself (never foreign input), with owners, modes and file capabilities, but for the folders `without`. Needs root. */
export async function unpackOwnTar(
	run: Run,
	archive: string,
	folder: string,
	without: readonly string[] = [],
): Promise<void> {
	await mkdir(folder, { recursive: true });
	await run("tar", [
		"-C",
		folder,
		"-xpf",
		archive,
		"--numeric-owner",
		"--xattrs",
		"--xattrs-include=*",
		"--keep-directory-symlink",
		...without.map((path) => `--exclude=./${path}`),
	]);
}

/** One file of a tar that this build made itself, as text; it is unpacked into `work`. */
export async function readFromTar(run: Run, archive: string, path: string, work: string): Promise<string> {
	await run("tar", ["-C", work, "-xf", archive, "--no-same-owner", path]);
	return readFile(join(work, path), "utf8");
}
