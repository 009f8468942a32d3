import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";

/** It looks at every disk that is closed after writing, and lets go in a moment. */
const UDEV = /^(systemd-udevd|\(udev-worker\)|udevd)$/;

/**
 * Programs that have one of the devices open, with their process ids. A virtual machine or a running dd does not claim a disk,
 * so the kernel would let another one write to it. Needs root to see those of others.
 */
export async function openIn(root: string, names: readonly string[]): Promise<string[]> {
	const paths = new Set(names.map((name) => `/dev/${name}`));
	const proc = join(root, "proc");
	const found: string[] = [];
	for (const pid of (await readdir(proc)).filter((one) => /^\d+$/.test(one) && Number(one) !== process.pid)) {
		const folder = join(proc, pid, "fd");
		const fds = await readdir(folder).catch(() => [] as string[]);
		const open = await Promise.all(fds.map((fd) => readlink(join(folder, fd)).catch(() => "")));
		if (!open.some((path) => paths.has(path))) continue;
		const program = (await readFile(join(proc, pid, "comm"), "utf8").catch(() => "")).trim();
		if (program !== "" && !UDEV.test(program)) found.push(`${program} (${pid})`);
	}
	return found;
}
