import { stringify } from "yaml";
import { checkProfile } from "../plan/prepare.ts";
import { displayPath } from "../yaml/load.ts";
import type { CommandContext } from "./command.ts";

/** Prints the resolved profile as YAML or JSON, with the files it comes from and the packages that follow from it. */
export async function describe(
	{ root, print }: CommandContext,
	options: { base?: string },
	[name]: string[],
): Promise<void> {
	const { profile, base, files, packages, proPackages } = await checkProfile({
		root,
		profile: name as string,
		base: options.base,
	});
	const data = { profile, base, files: files.map(displayPath), packages, proPackages };
	print(
		() =>
			`${files.map((file) => `# ${displayPath(file)}\n`).join("")}${stringify({ ...profile, rootPackages: packages, proPackages })}`,
		() => data,
	);
}
