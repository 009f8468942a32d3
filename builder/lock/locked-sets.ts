import { SlipwayError } from "../../bundle/errors.ts";
import type { ArchiveResolve } from "../archive/answer.ts";
import type { Checked } from "../plan/prepare.ts";
import { displayPath } from "../yaml/load.ts";
import { asResolve, lockPath, openLock } from "./lock-file.ts";
import { askedOf } from "./make-lock.ts";

/**
 * The package sets that a lock beside the profile's file names for this base; undefined if there is none. Where there is a lock it
 * alone resolves: no archive is asked, and no kept answer is read. Errors: E_LOCK; E_USAGE for `refresh`, which it would not heed.
 */
export async function lockedSets(
	checked: Checked,
	refresh: boolean,
): Promise<{ file: string; root: ArchiveResolve; content: Record<string, ArchiveResolve> } | undefined> {
	const { profile, base } = checked;
	const lock = await openLock(checked.file, base.name, profile.arch, askedOf(checked));
	if (lock === undefined) return undefined;
	const file = lockPath(checked.file);
	if (refresh) {
		throw new SlipwayError(
			"E_USAGE",
			`${displayPath(file)} says which packages are taken, so --refresh has no effect.`,
			{
				next: `Run \`./slipway lock ${profile.name}\` to take newer ones.`,
			},
		);
	}
	const content = Object.entries(lock.content).map(([name, set]) => [name, asResolve(lock, set)]);
	return { file, root: asResolve(lock, lock.root, lock.boot), content: Object.fromEntries(content) };
}
