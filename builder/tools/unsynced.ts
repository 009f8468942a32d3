import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Run } from "./run.ts";

/**
 * Runs one program with a scratch folder (TMPDIR) in which nothing is flushed to the disk, for an installation that is thrown away
 * when it does not end well; where the kernel has no such mount, in a common folder, and the log says so. `work` must not exist, and
 * is deleted by the caller. Needs root. Errors: those of run().
 */
export function unsynced(run: Run, work: string): Run {
	const script = join(import.meta.dirname, "unsynced.sh");
	return async (file, args, options) => {
		await mkdir(work);
		const argv = ["--mount", "--propagation=private", "--", script, work, file, ...args];
		return run("unshare", argv, { ...options, starts: file, env: { ...options?.env, TMPDIR: join(work, "root") } });
	};
}
