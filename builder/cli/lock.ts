import { diffLocks, type LockChange } from "../lock/diff.ts";
import { lockPath, readLocks, writeLocks } from "../lock/lock-file.ts";
import { makeLock } from "../lock/make-lock.ts";
import { placed } from "../plan/placed.ts";
import { archiveRequest, checkProfile } from "../plan/prepare.ts";
import { compareVersions } from "../tools/dpkg.ts";
import { run } from "../tools/run.ts";
import { displayPath } from "../yaml/load.ts";
import { type CommandContext, checkRoot } from "./command.ts";
import type { BuildOptions } from "./program.ts";

/**
 * Asks the archive for everything that a build takes from it, and writes it beside the profile; with `diff`, shows what that would
 * change and writes nothing: exit code 1 when it would, 0 when not.
 */
export async function lock(
	{ root, print, signal }: CommandContext,
	options: BuildOptions & { diff?: boolean },
	[profile]: string[],
): Promise<void> {
	const checked = await checkProfile({ root, profile: profile as string, base: options.base });
	checkRoot();
	const given = { root, ...options };
	const now = await placed(checked, given, () => makeLock(checked, { ...archiveRequest(given, checked), signal }));
	const file = lockPath(checked.file);
	const locks = await readLocks(file);
	const before = locks[checked.base.name];
	const changes = await diffLocks(before, now, (a, b) => compareVersions(run, a, b));
	if (options.diff === true) process.exitCode = changes.length === 0 ? 0 : 1;
	else await writeLocks(file, { ...locks, [checked.base.name]: now });
	const verb = options.diff === true ? "would change" : "changed";
	print(
		() => `${[...changes.map(line), `${displayPath(file)}: ${changes.length} packages ${verb}.`].join("\n")}\n`,
		() => ({ file, base: checked.base.name, written: options.diff !== true, changes }),
	);
}

function line({ set, name, kind, before, after }: LockChange): string {
	const versions = [before, after].filter((version) => version !== null);
	return `  ${kind.padEnd(10)} ${set} ${name} ${kind === "rebuilt" ? after : versions.join(" → ")}`;
}
