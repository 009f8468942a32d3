import { mkdir, statfs } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";

/**
 * Checks free space before any work. `needed` in bytes.
 * Errors: E_NO_SPACE with what is needed and what is free.
 */
export async function checkSpace(folder: string, needed: number): Promise<void> {
	await mkdir(folder, { recursive: true });
	const { bavail, bsize } = await statfs(folder);
	const free = bavail * bsize;
	if (free >= needed) return;
	const message = `This needs ${formatBytes(needed)} in ${folder}, and ${formatBytes(free)} is free.`;
	throw new SlipwayError("E_NO_SPACE", message, {
		next: "Free some space there (`./slipway clean` removes old stage outputs), or use another disk.",
	});
}

/** `1.5 GiB`: for people. */
export function formatBytes(bytes: number): string {
	const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
	let [value, unit] = [bytes, 0];
	while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
	return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
