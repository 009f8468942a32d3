import { SlipwayErrors } from "../../bundle/errors.ts";
import { findKeyring } from "../archive/sources.ts";
import { setupPurposes } from "../plan/foreign.ts";
import { placed } from "../plan/placed.ts";
import { type Checked, checkProfile } from "../plan/prepare.ts";
import { checkToken } from "../plan/token.ts";
import { profileNames } from "../profile/load.ts";
import { openUkiSigner } from "../uki/key.ts";
import type { CommandContext } from "./command.ts";
import { errorsIn } from "./report.ts";

/** Checks every profile even if an earlier one is wrong; throws all errors together. */
export async function validate(
	{ root, print }: CommandContext,
	options: { base?: string; keyring?: string; forBuild?: boolean },
	names: string[],
): Promise<void> {
	const valid: Checked[] = [];
	const errors = [];
	for (const profile of names.length > 0 ? names : await profileNames(root)) {
		try {
			const checked = await checkProfile({ root, profile, base: options.base });
			if (options.forBuild === true) {
				await checkToken(checked, process.env);
				await openUkiSigner(checked.profile, process.env);
				await checkKeyring(root, checked, options.keyring);
			}
			valid.push(checked);
		} catch (thrown) {
			errors.push(...errorsIn(thrown));
		}
	}
	if (errors.length > 0) throw new SlipwayErrors(errors);
	print(
		() =>
			valid
				.map(
					(one) =>
						`${one.profile.name} is valid on ${one.base.name}${options.forBuild === true ? `; its build needs: ${setupPurposes(one).join(" ")}` : ""}\n`,
				)
				.join(""),
		() => ({ valid: valid.map(({ profile, base }) => ({ profile: profile.name, base: base.name })) }),
	);
}

/** Errors: E_KEYRING. Debian's own is no reason to stop: `scripts/setup` installs it, and runs after this. */
async function checkKeyring(root: string, checked: Checked, keyring: string | undefined): Promise<void> {
	if (keyring === undefined && checked.base.archive.keyringPackage === "debian-archive-keyring") return;
	await placed(checked, { root, keyring }, () => findKeyring(checked.base, keyring));
}
