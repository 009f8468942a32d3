import { join } from "node:path";
import type { Run, RunOptions, RunResult } from "./run.ts";

/**
 * Runs a program of a root folder inside it, with /proc, /sys, /dev, /run and /tmp of its own that vanish with the process.
 * The root's own PATH rules apply. Needs root. Errors: those of run().
 */
export function chroot(run: Run, root: string, argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
	const script = join(import.meta.dirname, "chroot.sh");
	return run("unshare", ["--mount", "--propagation=private", "--", script, root, ...argv], options);
}
