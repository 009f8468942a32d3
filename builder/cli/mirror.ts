import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { lockPath } from "../lock/lock-file.ts";
import { lockOf } from "../lock/locked-sets.ts";
import { makeMirror } from "../mirror/make-mirror.ts";
import { placed } from "../plan/placed.ts";
import { archiveRequest, checkProfile } from "../plan/prepare.ts";
import { formatBytes } from "../plan/space.ts";
import { displayPath } from "../yaml/load.ts";
import { type CommandContext, checkRoot } from "./command.ts";
import type { BuildOptions } from "./program.ts";

/** Makes a folder from which a locked profile is built without a network. Errors: E_LOCK without a lock; those of makeMirror(). */
export async function mirror(
	{ root, print, signal }: CommandContext,
	options: BuildOptions,
	[name, target]: string[],
): Promise<void> {
	const checked = await checkProfile({ root, profile: name as string, base: options.base });
	const { profile, base } = checked;
	const lock = await lockOf(checked);
	if (lock === undefined) {
		const message = `${displayPath(lockPath(checked.file))} has no lock of ${profile.name} for ${base.name}.`;
		throw new SlipwayError("E_LOCK", message, { next: `Make it: \`./slipway lock ${profile.name}\`.` });
	}
	checkRoot();
	const folder = path.resolve(target as string);
	const given = { root, ...options };
	const made = await placed(checked, given, () =>
		makeMirror({ ...archiveRequest(given, checked), lock, folder, signal }),
	);
	const use = `make iso PROFILE=${profile.name} MIRROR=file://${folder} KEYRING=${folder}/keyring.gpg`;
	print(
		() => `${folder}: ${made.packages} packages, ${formatBytes(made.bytes)}\nBuild from it, with no network: ${use}\n`,
		() => ({ folder, base: base.name, ...made, mirror: `file://${folder}`, keyring: `${folder}/keyring.gpg` }),
	);
}
