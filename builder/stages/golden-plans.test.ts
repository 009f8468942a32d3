import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type LedMap, trustFile } from "../../bundle/appliance.ts";
import type { ArchiveResolve } from "../archive/answer.ts";
import { bootPackages, proPackages, rootPackages, workshopPackages } from "../archive/packages.ts";
import type { Build } from "../plan/build.ts";
import { stagesOf } from "../plan/plan.ts";
import { baseNames } from "../profile/base.ts";
import { hardwareNames } from "../profile/hardware.ts";
import { loadProfile, profileNames } from "../profile/load.ts";
import type { Arch } from "../tools/host-arch.ts";
import { mksquashfsArgs } from "../tools/mksquashfs.ts";
import { mmdebstrapArgs } from "../tools/mmdebstrap.ts";
import { verityArgs } from "../tools/veritysetup.ts";
import { isoArgs } from "../tools/xorriso.ts";
import { agent } from "./agent.ts";
import { boot } from "./boot.ts";
import { bootstrap, hookEnv, request } from "./bootstrap.ts";
import { content } from "./content.ts";
import { dracutArgs, dracutEnv } from "./dracut.ts";
import { espConfig, grubConfig, menuOf } from "./grub-config.ts";
import { STAGES } from "./index.ts";
import { initrd } from "./initrd.ts";
import { kernelLine, volumeId } from "./kernel-line.ts";
import { ledsDropIn } from "./leds.ts";
import { loadOverlay } from "./overlay-manifest.ts";
import { root } from "./root.ts";
import { workshop, workshopRequest } from "./workshop.ts";

/**
 * What would be run for each base, as text. Ubuntu's archive cannot be reached from where this is developed, so for those bases this is
 * the proof there is: a change in any command line, package set, archive or kernel line shows as a difference of these files.
 */

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const ROOT_ID = "0123456789abcdef".repeat(4);
const IMAGE = { rootId: ROOT_ID, verity: { blocks: 4711, hash: "f0".repeat(32), salt: "a5".repeat(32) } };
const EPOCH = 1_800_000_000;
const BASES = await baseNames(ROOT);
// Those of this build host are not the bases'.
process.env.MIRRORS = `${ROOT}/test/golden/mirrors.yaml`;

const PROFILES = (await profileNames(ROOT)).map((name) => ({ name, file: name }));
/** One profile for each hardware set that no shipped profile names. */
const HARDWARE = ["fanless-x86", "generic-server", "sbsa-server"].map((name) => ({
	name,
	file: `${ROOT}/test/golden/profiles/${name}.yaml`,
}));
const PLANS = [...PROFILES, ...HARDWARE].flatMap((one) => BASES.map((base) => ({ ...one, base })));

test.each(PLANS)("the plan of $name on $base", async ({ name, file, base }) => {
	const text = describePlan(await fakeBuild(file, base));
	await expect(text).toMatchFileSnapshot(`${ROOT}/test/golden/plans/${name}-${base}.txt`);
});

test("every shipped profile and hardware set is among them", async () => {
	const builds = await Promise.all(PLANS.map(({ file, base }) => fakeBuild(file, base)));
	const named = new Set(builds.map(({ profile }) => profile.hardware));
	expect(await hardwareNames(ROOT)).toEqual([...named].filter((name) => name !== null).sort());
	expect(PROFILES.map(({ name }) => name)).toEqual(
		expect.arrayContaining(["vertex-fips-amd64", "vertex-fips-arm64", "palette-amd64", "palette-arm64"]),
	);
});

test("a host of the other architecture makes the same appliance, in a workshop of its own", async () => {
	const build = await fakeBuild("vertex-fips-amd64", "debian-13", "arm64");
	await expect(describePlan(build)).toMatchFileSnapshot(
		`${ROOT}/test/golden/plans/vertex-fips-amd64-debian-13-on-arm64.txt`,
	);
	const names = (one: Build) => stagesOf(one, STAGES).map(({ name, inputs }) => `${name} < ${inputs.join(" ")}`);
	expect(names(build)).toEqual(
		expect.arrayContaining(["workshop < ", "bootstrap < workshop", "initrd < workshop bootstrap"]),
	);
	const native = await fakeBuild("vertex-fips-amd64", "debian-13");
	expect(names(native)).toEqual(expect.arrayContaining(["bootstrap < ", "initrd < bootstrap"]));
	expect(names(native).join("\n")).not.toContain("workshop");
	// What the packages are like matters to the agent in FIPS mode alone; else it is made beside them.
	expect(names(native)).toContain("agent < bootstrap");
	expect(names(await fakeBuild("palette-amd64", "debian-13"))).toContain("agent < ");
	// What ends up on the medium is asked for in the same words.
	for (const stage of [agent, boot, root]) expect(stage.plan(build)).toEqual(stage.plan(native));
	expect(bootstrap.plan(build)).toEqual({ ...bootstrap.plan(native), install: "chrootless" });
	expect(initrd.plan(build)).toEqual({ ...initrd.plan(native), foreign: "amd64" });
});

test.each(PLANS)(
	"with `boot: uki` $name on $base has one program of its own in place of shim and GRUB",
	async (plan) => {
		const dir = await mkdtemp(join(tmpdir(), "slipway-plans-"));
		onTestFinished(() => rm(dir, { recursive: true, force: true }));
		const own = join(dir, "own.yaml");
		const parent = plan.file.endsWith(".yaml") ? plan.file : `${ROOT}/profiles/${plan.file}.yaml`;
		await writeFile(own, `apiVersion: slipway/v1\nkind: Profile\nextends: [${parent}]\nboot: uki\n`);
		const build = { ...(await fakeBuild(own, plan.base)), uki: { certificate: "(certificate)" } };
		const { package: stubPackage, stub } = build.base.uki![build.profile.arch];
		expect(bootPackages(build.base, build.profile)).toEqual([stubPackage]);
		expect(boot.options.parse(boot.plan(build))).toMatchObject({
			...{ bios: false, uki: { stub, certificate: "(certificate)" } },
			efi: [build.profile.arch === "arm64" ? "BOOTAA64.EFI" : "BOOTX64.EFI", expect.any(String)],
			line: expect.arrayContaining(["rd.shell=0", ...(build.profile.fips ? ["fips=1"] : [])]),
		});
		expect(boot.secrets).toEqual(["ukiKey"]);
		// The root image is what it would be with GRUB.
		const grub = await fakeBuild(plan.file, plan.base);
		expect(initrd.plan(build)).toEqual(initrd.plan(grub));
		expect(root.plan(build)).toEqual(root.plan(grub));
	},
);

test("a token's file reaches the bootstrap hook of a base that needs one, and nothing else", async () => {
	const build = await fakeBuild("vertex-fips-amd64", "ubuntu-22.04");
	const options = bootstrap.options.parse(bootstrap.plan(build)) as ReturnType<typeof bootstrap.plan>;
	expect(hookEnv(options, "/boot-out", "/secret/token")).toMatchObject({ SLIPWAY_PRO_TOKEN_FILE: "/secret/token" });
	expect(() => hookEnv(options, "/boot-out", undefined)).toThrow(expect.objectContaining({ code: "E_PRO_TOKEN" }));
	expect(JSON.stringify([options, mmdebstrapArgs(request(options, "k", "t"))])).not.toContain("/secret/token");
	const debian = bootstrap.plan(await fakeBuild("vertex-fips-amd64", "debian-13"));
	expect(Object.keys(hookEnv(debian, "/boot-out", "/secret/token"))).not.toContain("SLIPWAY_PRO_TOKEN_FILE");
});

test("what a base says about itself belongs to the content's id", async () => {
	const build = await fakeBuild("vertex-fips-amd64", "debian-13");
	const other = { ...build, base: { ...build.base, title: "Another title" } };
	expect(content.options.parse(content.plan(other))).not.toEqual(content.options.parse(content.plan(build)));
});

test("what was made under one keyring is made anew under another", async () => {
	const build = await fakeBuild("vertex-fips-amd64", "debian-13", "arm64");
	const other = { ...build, keyringDigest: "dd".repeat(32) };
	for (const stage of [bootstrap, workshop, content]) {
		expect(stage.options.parse(stage.plan(other))).not.toEqual(stage.options.parse(stage.plan(build)));
	}
});

test("the registry that a profile names is the appliance's, and belongs to the agent stage alone", async () => {
	const build = await fakeBuild("vertex-fips-amd64", "debian-13");
	const registry = {
		...{ target: "https://registry.site/mirror", sparse: "child" as const },
		...{ credentials: "/var/lib/slipway/registry.json", ca: "/etc/slipway/registry-ca.pem" },
	};
	const other = { ...build, profile: { ...build.profile, registry } };
	expect(agent.plan(other).config.registry).toEqual(registry);
	expect(content.plan(other)).toEqual(content.plan(build));
});

const TRUST = trustFile.parse({ format: 1, release: { threshold: 1, keys: [{ file: "release.pem" }] } });

async function fakeBuild(name: string, baseName: string, hostArch: Arch = "amd64"): Promise<Build> {
	const { profile, base } = await loadProfile(ROOT, name, { base: baseName });
	const overlays = await Promise.all(profile.overlays.map((overlay) => loadOverlay(ROOT, overlay)));
	const versions = (names: readonly string[]) => Object.fromEntries(names.map((package_) => [package_, "1.0"]));
	const resolve: ArchiveResolve = {
		inRelease: [{ suite: base.suite, sha256: "aa".repeat(32), date: EPOCH }],
		packages: versions(
			rootPackages(
				base,
				profile,
				overlays.flatMap((overlay) => overlay.packages),
			),
		),
		boot: versions(bootPackages(base, profile)),
		resolvedAt: "2027-01-15T08:00:00.000Z",
	};
	const signer = {
		keyId: "bb".repeat(32),
		publicKeyPem: "(public key)",
		development: false,
		sign: async () => Buffer.alloc(0),
	};
	return {
		...{
			root: ROOT,
			cacheDir: "/cache",
			distDir: "/dist",
			profile,
			base,
			bundles: [],
			hostArch,
			resolve,
			lock: undefined,
			workshop: hostArch === profile.arch ? null : { ...resolve, packages: versions(workshopPackages(base)), boot: {} },
			contentPins: {},
			signer,
			trust: { file: TRUST, pems: { "release.pem": signer.publicKeyPem }, statements: {} },
		},
		...{
			refresh: false,
			epoch: EPOCH,
			archiveEpoch: EPOCH,
			uki: null,
			version: profile.version,
			mirror: undefined,
			keyring: undefined,
			keyringDigest: "cc".repeat(32),
		},
	};
}

function describePlan(build: Build): string {
	const { profile, base } = build;
	const options = bootstrap.plan(build);
	const line = kernelLine(profile, IMAGE);
	const bios =
		profile.arch === "amd64" ? { mbr: "BOOT/boot_hybrid.img", eltorito: "/boot/grub/i386-pc/eltorito.img" } : null;
	const iso = { out: "X.iso", volumeId: volumeId(ROOT_ID), epoch: EPOCH, files: [], esp: "BOOT/esp.img", bios };
	// The archive's address stands in the base's file and nowhere else.
	const hosts = [profile.arch, build.hostArch].flatMap(
		(arch) => base.archive.mirrors[arch]?.match(/\/\/([^/]+)/)?.[1] ?? [],
	);
	const hide = (word: string) => hosts.reduce((text, host) => text.replace(host, "ARCHIVE"), word);
	const short = (words: readonly string[]) => words.map((word) => hide(word.replace(`${ROOT}/`, ""))).join("\n  ");
	const sections: [string, string][] = [
		["packages resolved in the public archive", rootPackages(base, profile).join("\n  ")],
		["packages that need a token", proPackages(base, profile).join("\n  ")],
		["packages for the boot stage", bootPackages(base, profile).join("\n  ")],
		[
			"mmdebstrap for the workshop",
			build.workshop === null
				? "(none)"
				: short(mmdebstrapArgs(workshopRequest(workshop.plan(build), "KEYRING", "root.tar"))),
		],
		["mmdebstrap", short(mmdebstrapArgs(request(options, "KEYRING", "root.tar")))],
		[
			"environment of its hooks",
			short(
				Object.entries(hookEnv(options, "BOOT", "TOKEN_FILE")).map(([k, v]) => `${k}=${v.replaceAll("\n", "\n    ")}`),
			),
		],
		["dracut", short(dracutArgs(initrd.plan(build), "KERNEL"))],
		["environment of dracut", short(Object.entries(dracutEnv(initrd.plan(build))).map(([k, v]) => `${k}=${v}`))],
		["kernel line", line.join("\n  ")],
		["mksquashfs", short(mksquashfsArgs("ROOT", "rootfs.squashfs", EPOCH))],
		["veritysetup", short(verityArgs("rootfs.squashfs", 4711 * 4096, IMAGE.verity.salt, "root.hash"))],
		["signed chain", short([base.secureBoot[profile.arch].shim, base.secureBoot[profile.arch].grub])],
		["grub.cfg on the ISO", grubConfig(menuOf(build), line, ROOT_ID).trimEnd().replaceAll("\n", "\n  ")],
		["grub.cfg in the EFI system partition", espConfig(ROOT_ID).trimEnd().replaceAll("\n", "\n  ")],
		["xorriso", short(isoArgs(iso))],
		["FIPS module of the appliance", JSON.stringify(agent.plan(build).config.fipsModule)],
		["registry that the appliance loads into", JSON.stringify(agent.plan(build).config.registry)],
		["what the appliance demands", JSON.stringify(agent.plan(build).config.requirements)],
		...(Object.keys(profile.leds).length === 0 ? [] : [lights(profile.leds)]),
		["secrets of the bootstrap stage", (bootstrap.secrets ?? []).join("\n  ")],
		[
			"scripts of the bootstrap stage",
			short(
				bootstrap
					.sources(build)
					.filter((file) => file.endsWith(".sh"))
					.map((file) => relative(ROOT, file)),
			),
		],
	];
	return `${sections.map(([title, text]) => `${title}:\n  ${text}`).join("\n\n")}\n`;
}

function lights(leds: LedMap): [string, string] {
	return ["drop-in for its lights", ledsDropIn(leds).trimEnd().replaceAll("\n", "\n  ")];
}
