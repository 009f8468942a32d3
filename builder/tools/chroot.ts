import { join } from "node:path";
import type { Run, RunOptions, RunResult } from "./run.ts";

export interface ChrootOptions extends RunOptions {
	readonly binds?: readonly string[];
	readonly emulator?: string | null;
}

/**
 * Runs a program of a root folder inside it, with /proc, /sys, /dev, /run and /tmp of its own that vanish with the process.
 * `binds` are files and folders of the host that it sees under the same paths. A program of another architecture, by its
 * absolute path, is run by `emulator`; what it starts itself is not. The root's own PATH rules apply. Needs root.
 * Errors: those of run().
 */
export function chroot(
	run: Run,
	root: string,
	argv: readonly string[],
	{ binds = [], emulator = null, ...options }: ChrootOptions = {},
): Promise<RunResult> {
	const script = join(import.meta.dirname, "chroot.sh");
	const program = emulator === null ? [] : [emulator];
	const bind = [...binds, ...program].flatMap((path) => ["--bind", path]);
	return run(
		"unshare",
		["--mount", "--propagation=private", "--", script, root, ...bind, ...program, ...argv],
		options,
	);
}
