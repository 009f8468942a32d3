import { truncate, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Run } from "./run.ts";

/**
 * Makes a FAT image that holds `files` (path in the image → file), the same bytes each time: fixed serial number, and all times
 * are `epoch` (seconds). `serial` is 8 hex digits.
 */
export async function fatImage(
	run: Run,
	image: string,
	files: ReadonlyMap<string, string>,
	o: { size: number; label: string; serial: string; epoch: number },
): Promise<void> {
	const env = { SOURCE_DATE_EPOCH: String(o.epoch) };
	await writeFile(image, "");
	await truncate(image, o.size);
	// FAT12 is for small ones: it has at most 4084 clusters.
	const width = o.size <= 16 * 2 ** 20 ? "12" : "16";
	await run("mkfs.vfat", ["--invariant", "-F", width, "-i", o.serial, "-n", o.label, image], { env });
	const folders = new Set<string>();
	for (const path of files.keys()) {
		for (let folder = dirname(path); folder !== "/"; folder = dirname(folder)) folders.add(folder);
	}
	const sorted = [...folders].sort();
	if (sorted.length > 0) await run("mmd", ["-i", image, ...sorted.map((folder) => `::${folder}`)], { env });
	for (const [path, file] of [...files].sort()) await run("mcopy", ["-i", image, file, `::${path}`], { env });
}
