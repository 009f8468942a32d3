import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { SlipwayError } from "../../bundle/errors.ts";
import { checkInstalled, checkPresent, installedPackages } from "../archive/dpkg.ts";
import { proPackages } from "../archive/packages.ts";
import { pinEnv, pinLines, pinOptions } from "../archive/pins.ts";
import { aptSources, findKeyring } from "../archive/sources.ts";
import type { Stage } from "../plan/stage.ts";
import type { Base, Profile } from "../profile/schema.ts";
import { type Mmdebstrap, mmdebstrap } from "../tools/mmdebstrap.ts";
import { readFromTar } from "../tools/tar.ts";
import { codeOf } from "./code.ts";

const options = z.strictObject({
	suite: z.string(),
	arch: z.enum(["amd64", "arm64"]),
	sources: z.array(z.string()),
	components: z.array(z.string()),
	/** `name=version`, all of them: what apt may not choose it cannot choose otherwise. */
	include: z.array(z.string()),
	boot: z.array(z.string()),
	/** Both with the digests of their files. */
	pins: z.array(z.string()),
	/** Installed with a token of Ubuntu Pro. */
	pro: z.strictObject({ service: z.string(), packages: z.array(z.string()) }).nullable(),
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
			sources: aptSources(base, profile.arch, mirror, resolve.inRelease),
			components: base.components,
			include: pinned(resolve.packages),
			boot: pinned(resolve.boot),
			pins: pinLines(resolve),
			pro: proOf(base, profile),
			fipsModule: profile.fips && base.fips !== null ? `${base.fips.modulesDir[profile.arch]}/fips.so` : null,
			epoch: archiveEpoch,
		};
	},
	sources: () => codeOf(import.meta.filename),
	secrets: ["proToken"],
	space: () => 1_500_000_000,
	async run({ build, options: o, out, work, run, secret, progress, log }) {
		const tar = join(out, "root.tar");
		const boot = join(out, "boot");
		await mkdir(boot);
		const token = o.pro === null ? undefined : await secret("proToken");
		const env = { ...hookEnv(o, boot, token?.file), TMPDIR: work };
		let done = 0;
		const onLine = (line: string) => {
			if (/^(Unpacking|Setting up) /.test(line)) progress(++done, o.include.length * 2);
		};
		await mmdebstrap(run, request(o, await findKeyring(build.base, build.keyring), tar), o.epoch, { env, onLine });
		const installed = installedPackages(await readFromTar(run, tar, "./var/lib/dpkg/status", work));
		// With a token, packages of the restricted archive replace resolved ones, which no public archive could foretell.
		if (o.pro === null) checkInstalled(installed, build.resolve.packages);
		else checkPresent(installed, o.pro.packages);
		log(`${Object.keys(installed).length} packages`);
		await writeFile(join(out, "packages.json"), `${JSON.stringify(installed, null, "\t")}\n`);
	},
};

const hook = join(import.meta.dirname, "bootstrap-hook.sh");
const proHook = join(import.meta.dirname, "pro-hook.sh");

/** What mmdebstrap is asked for. Pure. */
export function request(o: Options, keyring: string, target: string): Mmdebstrap {
	const hooks = [...(o.pro !== null ? [proHook] : []), hook];
	return {
		...o,
		variant: "essential",
		keyring,
		target,
		options: ["--format=tar", ...pinOptions(), ...hooks.map((file) => `--customize-hook=${file}`)],
	};
}

/** What the hooks take: a token goes to its hook as a file's name, and nowhere else. Errors: E_PRO_TOKEN. */
export function hookEnv(o: Options, boot: string, tokenFile: string | undefined): Record<string, string> {
	const env = {
		...pinEnv(o.pins),
		SLIPWAY_BOOT_OUT: boot,
		SLIPWAY_BOOT_PACKAGES: o.boot.join(" "),
		SLIPWAY_FIPS_MODULE: o.fipsModule ?? "",
	};
	if (o.pro === null) return env;
	if (tokenFile === undefined)
		throw new SlipwayError("E_PRO_TOKEN", "This base's FIPS packages need an Ubuntu Pro token.");
	return {
		...env,
		SLIPWAY_PRO_TOKEN_FILE: tokenFile,
		SLIPWAY_PRO_SERVICE: o.pro.service,
		SLIPWAY_PRO_PACKAGES: o.pro.packages.join(" "),
	};
}

function proOf(base: Base, profile: Profile): Options["pro"] {
	const packages = proPackages(base, profile);
	return packages.length === 0 || base.fips === null ? null : { service: base.fips.stream, packages };
}
