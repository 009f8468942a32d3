import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";

/**
 * Removes a folder, after unmounting whatever is mounted in it: what a mount shows belongs to someone else.
 * Errors: E_IO when something stays mounted; nothing is removed then.
 */
export async function removeTree(folder: string): Promise<void> {
	const mounts = await mountsUnder(folder);
	if (mounts.length > 0) {
		const { run } = await import("../tools/run.ts");
		for (const mount of mounts) await run("umount", ["--lazy", mount]).catch(() => undefined);
		const left = await mountsUnder(folder);
		if (left.length > 0) {
			throw new SlipwayError("E_IO", `${left.join(", ")} cannot be unmounted.`, {
				next: `Unmount it, then remove ${folder}.`,
			});
		}
	}
	// Retries: a program whose build was killed may still be writing there.
	await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** Mount points in a folder, innermost first. */
async function mountsUnder(folder: string): Promise<string[]> {
	const table = await readFile("/proc/self/mountinfo", "utf8");
	// proc_pid_mountinfo(5): the fifth field is the mount point, with blanks and backslashes as octal escapes.
	const points = table.split("\n").map((line) => decode(line.split(" ")[4] ?? ""));
	return points.filter((point) => point.startsWith(`${path.resolve(folder)}/`)).sort((a, b) => b.length - a.length);
}

function decode(field: string): string {
	return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
