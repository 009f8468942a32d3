import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Run } from "./run.ts";

/**
 * Programs run with a scratch folder (TMPDIR) in which nothing is flushed to the disk, for installations that are thrown away when
 * they do not end well; where the kernel has no such mount, in a common one, and the log says so. `work` is an empty folder to delete
 * afterwards. Needs root.
 */
export async function unsynced(run: Run, work: string): Promise<Run> {
	const root = join(work, "root");
	await mkdir(work, { recursive: true });
	const script = join(import.meta.dirname, "unsynced.sh");
	const wrap = ["--mount", "--propagation=private", "--", script, root];
	return (file, args, options) =>
		run("unshare", [...wrap, file, ...args], { ...options, env: { ...options?.env, TMPDIR: root } });
}
