import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { checkInstalled, installedPackages } from "../archive/dpkg.ts";
import { proPackages } from "../archive/packages.ts";
import { aptSources, findKeyring } from "../archive/sources.ts";
import type { Stage } from "../plan/stage.ts";
import { mmdebstrap, mmdebstrapTool } from "../tools/mmdebstrap.ts";
import { readFromTar } from "../tools/tar.ts";

const options = z.strictObject({
	suite: z.string(),
	arch: z.enum(["amd64", "arm64"]),
	sources: z.array(z.string()),
	/** `name=version`, all of them: what apt may not choose it cannot choose otherwise. */
	include: z.array(z.string()),
	boot: z.array(z.string()),
	/** Installed with a token of the vendor. */
	pro: z.array(z.string()),
	fipsModule: z.string().nullable(),
	epoch: z.int(),
});
type Options = z.infer<typeof options>;

/** The root's packages as one tar, the packages' list, and the packages that only the boot stage reads. */
export const bootstrap: Stage<Options> = {
	name: "bootstrap",
	summary: "Install the base's packages (mmdebstrap)",
	options,
	inputs: [],
	plan({ base, profile, mirror, resolve, archiveEpoch }) {
		const pinned = (packages: Record<string, string>) =>
			Object.entries(packages).map(([name, version]) => `${name}=${version}`);
		return {
			suite: base.suite,
			arch: profile.arch,
			sources: aptSources(base, profile.arch, mirror),
			include: pinned(resolve.packages),
			boot: pinned(resolve.boot),
			pro: proPackages(base, profile),
			fipsModule: profile.fips && base.fips !== null ? `${base.fips.modulesDir[profile.arch]}/fips.so` : null,
			epoch: archiveEpoch,
		};
	},
	sources: () => [import.meta.filename, hook, mmdebstrapTool],
	space: () => 1_500_000_000,
	async run({ build, options: o, out, work, run, progress, log }) {
		const keyring = await findKeyring(build.base, build.keyring);
		const tar = join(out, "root.tar");
		const boot = join(out, "boot");
		await mkdir(boot);
		let done = 0;
		await mmdebstrap(
			run,
			{
				...o,
				variant: "essential",
				keyring,
				target: tar,
				options: ["--format=tar", `--customize-hook=${hook}`],
			},
			o.epoch,
			{
				env: {
					TMPDIR: work,
					SLIPWAY_BOOT_OUT: boot,
					SLIPWAY_BOOT_PACKAGES: o.boot.join(" "),
					SLIPWAY_FIPS_MODULE: o.fipsModule ?? "",
				},
				onLine: (line) => {
					if (/^(Unpacking|Setting up) /.test(line)) progress(++done, o.include.length * 2);
				},
			},
		);
		const installed = installedPackages(await readFromTar(run, tar, "./var/lib/dpkg/status", work));
		checkInstalled(installed, build.resolve.packages);
		log(`${Object.keys(installed).length} packages, as resolved`);
		await writeFile(join(out, "packages.json"), `${JSON.stringify(installed, null, "\t")}\n`);
	},
};

const hook = join(import.meta.dirname, "bootstrap-hook.sh");
