import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { SlipwayError } from "../../bundle/errors.ts";
import { checkInstalled, checkPresent, installedPackages } from "../archive/dpkg.ts";
import { proPackages } from "../archive/packages.ts";
import { pinEnv, pinLines, pinOptions, pinsHook } from "../archive/pins.ts";
import { proHook, proHookEnv } from "../archive/pro-hook.ts";
import { aptSources, findKeyring } from "../archive/sources.ts";
import type { Stage } from "../plan/stage.ts";
import type { Base, Profile } from "../profile/schema.ts";
import { emulatorOf } from "../tools/emulator.ts";
import { type Mmdebstrap, mmdebstrap } from "../tools/mmdebstrap.ts";
import { readFromTar } from "../tools/tar.ts";
import { unsynced } from "../tools/unsynced.ts";
import { openWorkshop } from "../tools/workshop.ts";
import { codeOf } from "./code.ts";

const options = z.strictObject({
	suite: z.string(),
	/** `native`: for the host's own architecture; else as the base says. */
	install: z.enum(["native", "chrootless", "emulated"]),
	arch: z.enum(["amd64", "arm64"]),
	sources: z.array(z.string()),
	components: z.array(z.string()),
	/** `name=version`, all of them: what apt may not choose it cannot choose otherwise. */
	include: z.array(z.string()),
	boot: z.array(z.string()),
	/** Both with the digests of their files. */
	pins: z.array(z.string()),
	/** Installed with a token of Ubuntu Pro. */
	pro: z.strictObject({ service: z.string(), contracts: z.string(), packages: z.array(z.string()) }).nullable(),
	fipsModule: z.string().nullable(),
	/** What vouches for the packages. */
	keyringDigest: z.string().nullable(),
	epoch: z.int(),
});
type Options = z.infer<typeof options>;

/** The root's packages as one tar, the packages' list, and the packages that only the boot stage reads. */
export const bootstrap: Stage<Options> = {
	name: "bootstrap",
	summary: "Install the base's packages (mmdebstrap)",
	options,
	inputs: ["workshop"],
	plan({ base, profile, hostArch, mirror, resolve, archiveEpoch, keyringDigest }) {
		const pinned = (packages: Record<string, string>) =>
			Object.entries(packages).map(([name, version]) => `${name}=${version}`);
		return {
			suite: base.suite,
			install: profile.arch === hostArch ? "native" : base.foreignInstall,
			arch: profile.arch,
			sources: aptSources(base, profile.arch, mirror, resolve.inRelease),
			components: base.components,
			include: pinned(resolve.packages),
			boot: pinned(resolve.boot),
			pins: pinLines(resolve),
			pro: proOf(base, profile),
			fipsModule: profile.fips && base.fips !== null ? `${base.fips.modulesDir[profile.arch]}/fips.so` : null,
			keyringDigest,
			epoch: archiveEpoch,
		};
	},
	sources: () => codeOf(import.meta.filename),
	secrets: ["proToken"],
	space: () => 1_500_000_000,
	async run({ build, options: o, inputs, out, work, run, secret, progress, log }) {
		const tar = join(out, "root.tar");
		const boot = join(out, "boot");
		await mkdir(boot);
		const token = o.pro === null ? undefined : await secret("proToken");
		// What a lock names for the bundles too, so that one that no longer resolves is told before anything is installed.
		const locked = build.lock === undefined ? [] : Object.values(build.contentPins).flatMap(pinLines);
		const env = hookEnv({ ...o, pins: [...new Set([...o.pins, ...locked])] }, boot, token?.file);
		let done = 0;
		const onLine = (line: string) => {
			if (/^(Unpacking|Setting up) /.test(line)) progress(++done, o.include.length * 2);
		};
		const asked = request(o, await findKeyring(build.base, build.keyring), tar);
		if (o.install === "chrootless") {
			const workshop = await openWorkshop(run, inputs.workshop!, work);
			await writeFile(join(workshop.root, STAMP), "");
			const hooks = [import.meta.dirname, dirname(pinsHook)];
			const binds = [out, ...hooks, asked.keyring, emulatorOf(o.arch), ...mirrorFolders(o.sources)];
			const options = { env: { ...env, TMPDIR: "/var/tmp" }, onLine };
			await mmdebstrap(workshop.run(binds), asked, o.epoch, options);
		} else await mmdebstrap(unsynced(run, join(work, "unsynced")), asked, o.epoch, { env, onLine });
		const installed = installedPackages(await readFromTar(run, tar, "./var/lib/dpkg/status", work));
		// With a token, packages of the restricted archive replace resolved ones, which no public archive could foretell.
		if (o.pro === null) checkInstalled(installed, build.resolve.packages);
		else checkPresent(installed, o.pro.packages);
		log(`${Object.keys(installed).length} packages`);
		await writeFile(join(out, "packages.json"), `${JSON.stringify(installed, null, "\t")}\n`);
	},
};

/** Folders of this host that `deb` lines name, options before the address or not. Pure. */
export function mirrorFolders(sources: readonly string[]): string[] {
	const folder = /^deb (?:\[[^\]]*\] )?(?:file|copy):(?:\/\/)?(\/\S+)/;
	return [...new Set(sources.flatMap((line) => folder.exec(line)?.[1] ?? []))];
}

/** In the workshop: what is newer was written by the scripts of packages. */
const STAMP = "var/tmp/slipway-stamp";
const foreignHook = join(import.meta.dirname, "foreign-hook.sh");
const hook = join(import.meta.dirname, "bootstrap-hook.sh");

/** What mmdebstrap is asked for. Pure. */
export function request(o: Options, keyring: string, target: string): Mmdebstrap {
	const foreign = o.install === "chrootless";
	const hooks = [...(o.pro !== null ? [proHook] : []), ...(foreign ? [foreignHook] : []), hook];
	return {
		...o,
		...(foreign ? { mode: "chrootless" } : {}),
		variant: "essential",
		keyring,
		target,
		options: ["--format=tar", ...pinOptions(), ...hooks.map((file) => `--customize-hook=${file}`)],
	};
}

/** What the hooks take. Errors: E_PRO_TOKEN. */
export function hookEnv(o: Options, boot: string, tokenFile: string | undefined): Record<string, string> {
	const env = {
		...pinEnv(o.pins),
		SLIPWAY_BOOT_OUT: boot,
		SLIPWAY_BOOT_PACKAGES: o.boot.join(" "),
		SLIPWAY_FIPS_MODULE: o.fipsModule ?? "",
		...(o.install === "chrootless" ? { SLIPWAY_EMULATOR: emulatorOf(o.arch), SLIPWAY_STAMP: `/${STAMP}` } : {}),
	};
	if (o.pro === null) return env;
	if (tokenFile === undefined)
		throw new SlipwayError("E_PRO_TOKEN", "This base's FIPS packages need an Ubuntu Pro token.");
	return { ...env, ...proHookEnv(o.pro, tokenFile) };
}

function proOf(base: Base, profile: Profile): Options["pro"] {
	const packages = proPackages(base, profile);
	if (packages.length === 0 || base.fips === null) return null;
	return { service: base.fips.stream, contracts: base.fips.contracts ?? "", packages };
}
