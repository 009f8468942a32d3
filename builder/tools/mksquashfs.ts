import type { Run, RunOptions } from "./run.ts";

/** Root image and initrd alike. From 10 on zstd takes five times as long, for half a percent. */
export const ZSTD_LEVEL = "9";

/**
 * mksquashfs's command line: zstd, every time set to `epoch` (seconds). Pure. The time options must stand before `-e`, after which
 * everything is a name to leave out; that is why there is no `-e` here and callers delete first.
 */
export function mksquashfsArgs(folder: string, out: string, epoch: number): string[] {
	const time = String(epoch);
	return [
		...[folder, out, "-noappend", "-no-progress", "-quiet", "-no-exports"],
		...["-comp", "zstd", "-Xcompression-level", ZSTD_LEVEL, "-b", "256K"],
		...["-all-time", time, "-mkfs-time", time],
	];
}

/** Packs a folder; same tree, same bytes, on any number of processors. */
export async function mksquashfs(
	run: Run,
	folder: string,
	out: string,
	epoch: number,
	options: RunOptions = {},
): Promise<void> {
	await run("mksquashfs", mksquashfsArgs(folder, out, epoch), options);
}
