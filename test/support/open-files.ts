import { readdir, readlink } from "node:fs/promises";

/** What this process holds open in a folder, by path. */
export async function openFiles(folder: string): Promise<string[]> {
	const fds = await readdir("/proc/self/fd");
	const paths = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
	return paths.filter((path) => path.startsWith(`${folder}/`));
}
