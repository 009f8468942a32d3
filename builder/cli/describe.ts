import { stringify } from "yaml";
import { firmwareCost, firmwareLines } from "../archive/firmware-cost.ts";
import { keptResolve } from "../archive/resolve.ts";
import { archiveRequest, checkProfile } from "../plan/prepare.ts";
import { displayPath } from "../yaml/load.ts";
import type { CommandContext } from "./command.ts";

/**
 * Prints the resolved profile as YAML or JSON, with the files it comes from and the packages that follow from it. Asks no archive: what
 * firmware costs is known from the last build's answer.
 */
export async function describe(
	{ root, print }: CommandContext,
	options: { base?: string },
	[name]: string[],
): Promise<void> {
	const checked = await checkProfile({ root, profile: name as string, base: options.base });
	const { profile, base, hardware, packages, proPackages } = checked;
	const files = checked.files.map(displayPath);
	const answer = await keptResolve(archiveRequest({ root }, checked));
	const firmware = firmwareCost(base, profile, answer?.sizes);
	print(
		() =>
			[
				...[...files, ...firmwareLines(firmware)].map((line) => `# ${line}\n`),
				stringify({ ...profile, rootPackages: packages, proPackages }),
			].join(""),
		() => ({ profile, base, hardware, files, packages, proPackages, firmware }),
	);
}
