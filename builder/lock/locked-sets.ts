import { SlipwayError } from "../../bundle/errors.ts";
import type { ArchiveResolve } from "../archive/answer.ts";
import type { Checked } from "../plan/prepare.ts";
import { hostArch } from "../tools/host-arch.ts";
import { displayPath } from "../yaml/load.ts";
import { asResolve, type BaseLock, lockPath, openLock } from "./lock-file.ts";
import { askedOf, workshopOf } from "./make-lock.ts";

/** The lock beside a profile's file; undefined if it has none for this base. Errors: E_LOCK. */
export function lockOf(checked: Checked): Promise<BaseLock | undefined> {
	const { file, profile, base } = checked;
	return openLock(file, base.name, profile.arch, askedOf(checked), workshopOf(checked, hostArch()));
}

export interface LockedSets {
	readonly file: string;
	readonly root: ArchiveResolve;
	readonly content: Record<string, ArchiveResolve>;
	readonly workshop: ArchiveResolve | undefined;
}

/**
 * The package sets that a lock beside the profile's file names for this base; undefined if there is none. Where there is a lock it
 * alone resolves: no archive is asked, and no kept answer is read. Errors: E_LOCK; E_USAGE for `refresh`, which it would not heed.
 */
export async function lockedSets(checked: Checked, refresh: boolean): Promise<LockedSets | undefined> {
	const lock = await lockOf(checked);
	if (lock === undefined) return undefined;
	const file = lockPath(checked.file);
	if (refresh) {
		throw new SlipwayError(
			"E_USAGE",
			`${displayPath(file)} says which packages are taken, so --refresh has no effect.`,
			{
				next: `Run \`./slipway lock ${checked.profile.name}\` to take newer ones.`,
			},
		);
	}
	const content = Object.entries(lock.content).map(([name, set]) => [name, asResolve(lock, set)]);
	const { workshop } = lock;
	return {
		file,
		root: asResolve(lock, lock.root, lock.boot),
		content: Object.fromEntries(content),
		workshop: workshop && asResolve(workshop, workshop.packages),
	};
}
