import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { loadProfile } from "./load.ts";

const HEAD = "apiVersion: slipway/v1\nkind: Profile\n";
const FULL = `${HEAD}product: p\nversion: "1"\narch: amd64\nbase: bare\n`;
let root: string;

beforeEach(async () => {
	root = await mkdtemp(path.join(tmpdir(), "slipway-profile-"));
	for (const folder of ["profiles/parts", "profiles/bases", "profiles/bundles", "overlays/kvm"]) {
		await mkdir(path.join(root, folder), { recursive: true });
	}
	await put("profiles/bases/bare.yaml", base("bare", "null"));
	await put("profiles/bundles/core.yaml", "");
	await put("profiles/bundles/core.lock.yaml", "");
});
afterEach(() => rm(root, { recursive: true }));

function put(name: string, text: string) {
	return writeFile(path.join(root, name), text);
}

function base(name: string, fips: string) {
	return `apiVersion: slipway/v1
kind: Base
name: ${name}
title: A base
distribution: debian
suite: one
components: [main]
archive: {mirrors: {}, pockets: [], keyrings: [], keyringPackage: k-r}
arch: [amd64]
kernel: {amd64: {generic: {package: linux}, cloud: {package: linux-cloud}}, arm64: {generic: {package: linux}}}
firmware: {component: extra, classes: {nic: {packages: [fw-nic]}, cpu: {packages: [ucode], arch: [amd64]}}}
packages: []
secureBoot: {amd64: {packages: [], shim: a, grub: b}, arm64: {packages: [], shim: a, grub: b}}
grub: {amd64: [], arm64: []}
foreignInstall: emulated
fips: ${fips}
node: {libraries: []}
`;
}

/** `line:col code message` of everything thrown. */
async function errorsOf(name: string, options = {}): Promise<string[]> {
	const thrown: unknown = await loadProfile(root, name, options).catch((e: unknown) => e);
	const all = thrown instanceof SlipwayErrors ? thrown.errors : [thrown as SlipwayError];
	return all.map((e) => `${path.basename(e.at?.file ?? "-")}:${e.at?.line}:${e.at?.col} ${e.code} ${e.message}`);
}

test("later files win, lists append without repeats, a file met twice counts once, defaults fill the rest", async () => {
	await put(
		"profiles/parts/a.yaml",
		`${HEAD}product: a\npackages: [one, two]\nbundles: [core]\nrequirements: {cores: 4, tpm: true}\n`,
	);
	await put("profiles/parts/b.yaml", `${HEAD}extends: [a.yaml]\nproduct: b\npackages: [two, three]\n`);
	await put(
		"profiles/x.yaml",
		`${HEAD}extends: [parts/b.yaml, parts/a.yaml]\nversion: "1"\narch: amd64\nbase: bare\nbundles: [{name: core, optional: true}]\nrequirements: {cores: 8}\n`,
	);
	const { profile, files } = await loadProfile(root, "x");
	expect(profile).toMatchObject({
		name: "x",
		product: "b",
		packages: ["one", "two", "three"],
		bundles: [{ name: "core", optional: true }],
		requirements: { cores: 8, tpm: true, memoryMiB: 512 },
		console: { serial: "ttyS0", baud: 115200 },
		network: { expose: "loopback" },
		registry: { target: null, sparse: "refuse", credentials: null, ca: null },
	});
	expect(files.map((f) => path.basename(f))).toEqual(["a.yaml", "b.yaml", "x.yaml"]);
});

test("names everything that is not there in one go, each at the line that asks for it", async () => {
	await put("profiles/bases/fips.yaml", base("fips", "null"));
	await put(
		"profiles/x.yaml",
		`${FULL.replace("bare", "baer")}fips: true\noverlays: [kvm, nonesuch]\nbundles: [core, croe]\n`,
	);
	expect(await errorsOf("x")).toEqual([
		"x.yaml:8:17 E_OVERLAY_NOT_FOUND There is no folder overlays/nonesuch.",
		"x.yaml:9:17 E_BUNDLE_NOT_FOUND There is no bundle `croe`. Did you mean `core`?",
		"x.yaml:6:7 E_BASE_NOT_FOUND There is no base `baer`. Did you mean `bare`?",
	]);
});

test("a bundle may stand beside the profile that names it, and no two may share a name", async () => {
	await put("profiles/parts/site.yaml", "");
	await put("profiles/parts/p.yaml", `${HEAD}bundles: [./site.yaml]\n`);
	await put("profiles/x.yaml", `${FULL}extends: [parts/p.yaml]\nbundles: [core]\n`);
	const { profile, definitions } = await loadProfile(root, "x");
	expect(profile.bundles.map((bundle) => bundle.name)).toEqual(["site", "core"]);
	expect(definitions).toEqual([path.join(root, "profiles/parts/site.yaml"), "core"]);
	await put("profiles/core.yaml", "");
	await put("profiles/x.yaml", `${FULL}bundles: [core, ./core.yaml, ./gone.yaml]\n`);
	expect((await errorsOf("x")).map((e) => e.split(" ").slice(0, 2).join(" "))).toEqual([
		"x.yaml:7:17 E_NAME_CONFLICT",
		"x.yaml:7:30 E_BUNDLE_NOT_FOUND",
	]);
});

test("impossible pairs are found in the layer that causes them", async () => {
	await put("profiles/parts/f.yaml", `${HEAD}arch: arm64\nfips: true\n`);
	await put("profiles/x.yaml", `${HEAD}extends: [parts/f.yaml]\nproduct: p\nversion: "1"\nbase: bare\n`);
	expect(await errorsOf("x")).toEqual([
		"f.yaml:4:7 E_FIPS_BASE The base bare has no FIPS provider.",
		"f.yaml:3:7 E_ARCH_BASE The base bare offers amd64, not arm64.",
	]);
});

test("a circle of profiles is told with its whole path, a missing parent with the nearest file", async () => {
	await put("profiles/a.yaml", `${HEAD}extends: [b.yaml]\n`);
	await put("profiles/b.yaml", `${HEAD}extends:\n  - a.yaml\n`);
	expect(await errorsOf("a")).toEqual([
		expect.stringMatching(/^b.yaml:4:5 E_PROFILE_CYCLE .*a.yaml → .*b.yaml → .*a.yaml/),
	]);
	await put("profiles/c.yaml", `${HEAD}extends: [aa.yaml]\n`);
	expect(await errorsOf("c")).toEqual([
		expect.stringMatching(/^c.yaml:3:11 E_PROFILE_EXTENDS .*Did you mean `.*a.yaml`/),
	]);
});

test("errors of several files and several kinds come together", async () => {
	await put("profiles/parts/p.yaml", `${HEAD}arch: mips\nfipps: true\n`);
	await put(
		"profiles/x.yaml",
		`${HEAD}extends: [parts/p.yaml, nix.yaml]\nproduct: 7\naudience: "a\\tb"\noverlays: [gone]\nbase: bare\n`,
	);
	expect((await errorsOf("x")).map((e) => e.split(" ").slice(0, 2).join(" "))).toEqual([
		"x.yaml:4:10 E_PROFILE_VALUE",
		"x.yaml:5:11 E_PROFILE_VALUE",
		"p.yaml:3:7 E_PROFILE_VALUE",
		"p.yaml:4:1 E_PROFILE_KEY",
		"x.yaml:3:25 E_PROFILE_EXTENDS",
		"x.yaml:6:12 E_OVERLAY_NOT_FOUND",
	]);
	await put("profiles/x.yaml", HEAD);
	expect(await errorsOf("x")).toEqual(
		["product", "version", "arch", "base"].map((key) =>
			expect.stringContaining(`E_PROFILE_VALUE \`${key}\` is set neither`),
		),
	);
});

test("a registry to load into is an address without a password, and files on the box", async () => {
	await put("profiles/parts/r.yaml", `${HEAD}registry: {target: "https://r.site/a", credentials: /var/lib/r.json}\n`);
	await put("profiles/x.yaml", `${FULL}extends: [parts/r.yaml]\nregistry: {sparse: child}\n`);
	expect((await loadProfile(root, "x")).profile.registry).toEqual({
		...{ target: "https://r.site/a", sparse: "child", credentials: "/var/lib/r.json", ca: null },
	});
	for (const bad of ["target: 'https://user:secret@r.site/a'", "target: r.site", "credentials: r.json"]) {
		await put("profiles/x.yaml", `${FULL}registry: {${bad}}\n`);
		expect(await errorsOf("x")).toEqual([expect.stringMatching(/^x.yaml:7:\d+ E_PROFILE_VALUE (?!.*secret)/)]);
	}
});

test("whom the box trusts: files stand relative to the profile that names them, and must be there", async () => {
	await mkdir(path.join(root, "profiles/keys/statements"), { recursive: true });
	await put("profiles/keys/root.pem", "");
	await put("profiles/keys/vendor.pem", "");
	const own = "trust: {root: {keys: [../keys/root.pem], threshold: 1}, statements: ../keys/statements}";
	await put("profiles/parts/t.yaml", `${HEAD}${own}\n`);
	await put("profiles/x.yaml", `${FULL}extends: [parts/t.yaml]\ntrust: {release: {keys: [./keys/vendor.pem]}}\n`);
	const at = (name: string) => path.join(root, "profiles/keys", name);
	expect((await loadProfile(root, "x")).profile.trust).toEqual({
		release: { keys: [at("vendor.pem")], threshold: 1 },
		root: { keys: [at("root.pem")], threshold: 1 },
		statements: at("statements"),
	});
	await put("profiles/x.yaml", `${FULL}trust: {root: {keys: [./none.pem]}, statements: ./none}\n`);
	expect(await errorsOf("x")).toEqual([
		expect.stringMatching(/^x.yaml:7:\d+ E_PROFILE_VALUE There is no key .*none.pem/),
		expect.stringMatching(/^x.yaml:7:\d+ E_PROFILE_VALUE There is no folder .*none/),
	]);
});

test("kernel arguments may not say what the build says: the mode, the root, or who gets a shell", async () => {
	const ours = [
		"fips=0",
		"root=/dev/sda",
		"rd.shell=1",
		"rd.live.overlay=x",
		"slipway.root=0",
		"init=/bin/sh",
		"single",
		"systemd.debug_shell",
		"rd.systemd.unit=emergency.target",
		"systemd.run=/bin/sh",
		"SYSTEMD_SULOGIN_FORCE=1",
		"panic=0",
		"rd.overlay=LABEL=x",
	];
	const taken = ["quiet", "rd.driver.pre=igb", "rootdelay=5", "net.ifnames=0", "initcall_debug"];
	await put("profiles/x.yaml", `${FULL}kernel:\n  arguments: [${[...ours, ...taken, "'a\"root=b\"'"].join(", ")}]\n`);
	const errors = await errorsOf("x");
	expect(errors).toHaveLength(ours.length + 1);
	expect(errors[0]).toMatch(/^x\.yaml:8:15 E_PROFILE_VALUE .*not fips=/);
	await put("profiles/x.yaml", `${FULL}kernel: {arguments: [${taken.join(", ")}]}\n`);
	expect((await loadProfile(root, "x")).profile.kernel.arguments).toEqual(taken);
});

test("BASE overrides the profile's base, and a wrong one is not blamed on the file", async () => {
	await put("profiles/bases/other.yaml", base("other", "null"));
	await put("profiles/x.yaml", FULL);
	expect((await loadProfile(root, "x", { base: "other" })).profile.base).toBe("other");
	expect(await errorsOf("x", { base: "othr" })).toEqual([
		expect.stringMatching(/^-:undefined:undefined E_BASE_NOT_FOUND .*`other`/),
	]);
	expect(await errorsOf("y")).toEqual([
		expect.stringMatching(/E_PROFILE_NOT_FOUND There is no profile `y`\. Did you mean `x`/),
	]);
	expect(await errorsOf("nothing/y.yaml")).toEqual([expect.stringMatching(/E_PROFILE_NOT_FOUND There is no file/)]);
});

const MACHINE = `apiVersion: slipway/v1\nkind: Hardware\ntitle: A box\narch: [amd64]\ntested: false\n`;

test("a hardware set lies between what a profile extends and what it says itself, and the base gains its component", async () => {
	await mkdir(path.join(root, "profiles/hardware"));
	await put(
		"profiles/hardware/box.yaml",
		`${MACHINE}kernel: {flavour: cloud, arguments: [a=1]}
firmware: [nic]
console: {serial: ttyS1, baud: 9600}
requirements: {memoryMiB: 4096, disks: {count: 2, sizeMiB: 8000}, nics: 2, cpuFlags: [aes]}
leds: {ready: {led: "box:green:1", on: [ready]}}
`,
	);
	await put("profiles/parts/p.yaml", `${HEAD}hardware: other\nrequirements: {memoryMiB: 512, tpm: true}\n`);
	await put(
		"profiles/x.yaml",
		`${FULL}extends: [parts/p.yaml]\nhardware: box\nkernel: {arguments: [b=2]}\nfirmware: [cpu]\nconsole: {baud: 115200}\nrequirements: {disks: {count: 1}, cpuFlags: [avx]}\n`,
	);
	const { profile, base: found, hardware, files, origin } = await loadProfile(root, "x");
	expect(profile).toMatchObject({
		hardware: "box",
		kernel: { flavour: "cloud", arguments: ["a=1", "b=2"] },
		firmware: ["nic", "cpu"],
		console: { serial: "ttyS1", baud: 115200 },
		requirements: {
			...{
				cores: 1,
				memoryMiB: 4096,
				tpm: true,
				disks: { count: 1, sizeMiB: 8000 },
				nics: 2,
				cpuFlags: ["aes", "avx"],
			},
		},
		leds: { ready: { led: "box:green:1", on: ["ready"], blink: [] } },
	});
	expect([found.components, hardware?.tested]).toEqual([["main", "extra"], false]);
	expect(files.map((file) => path.basename(file))).toEqual(["box.yaml", "p.yaml", "x.yaml"]);
	expect(origin.get("firmware.nic")).toMatchObject({ line: 7, col: 12 });
	await put("profiles/x.yaml", FULL);
	const plain = await loadProfile(root, "x");
	expect([plain.base.components, plain.hardware, plain.profile.kernel.flavour]).toEqual([["main"], null, "generic"]);
});

test("what a base or an architecture lacks is told at the line that asks for it, be it the set's or the profile's", async () => {
	await mkdir(path.join(root, "profiles/hardware"));
	await put("profiles/hardware/box.yaml", `${MACHINE}kernel: {flavour: clod}\nfirmware: [nic, wifi]\n`);
	await put("profiles/bases/both.yaml", base("both", "null").replace("arch: [amd64]", "arch: [amd64, arm64]"));
	const arm = FULL.replace("amd64", "arm64").replace("bare", "both");
	await put("profiles/x.yaml", `${arm}firmware: [cpu]\nhardware: box\n`);
	expect(await errorsOf("x")).toEqual([
		"x.yaml:8:11 E_HARDWARE_ARCH box is hardware for amd64, not arm64.",
		"box.yaml:6:19 E_KERNEL_FLAVOUR There is no kernel flavour `clod`. There is: generic. (both on arm64)",
		"box.yaml:7:17 E_FIRMWARE_CLASS There is no firmware class `wifi`. There is: nic, cpu. (both)",
		"x.yaml:7:12 E_FIRMWARE_CLASS The firmware class `cpu` of both is for amd64, not arm64.",
	]);
	await put("profiles/x.yaml", `${FULL}hardware: bxo\n`);
	expect(await errorsOf("x")).toEqual([
		"x.yaml:7:11 E_HARDWARE_NOT_FOUND There is no hardware set `bxo`. Did you mean `box`?",
	]);
});

test("every fault of a hardware set comes with those of the profile that names it", async () => {
	await mkdir(path.join(root, "profiles/hardware"));
	const bad =
		"kernal: {}\nkernel: {arguments: [root=/dev/sda]}\nleds: {ok: {led: ../x, on: [redy]}}\nrequirements: {nics: -1}\n";
	await put("profiles/hardware/box.yaml", `${MACHINE.replace("false", "true")}${bad}`);
	await put("profiles/x.yaml", `${FULL}hardware: box\noverlays: [none]\n`);
	expect((await errorsOf("x")).map((e) => e.split(" ").slice(0, 2).join(" "))).toEqual([
		"box.yaml:5:9 E_PROFILE_VALUE",
		"box.yaml:6:1 E_PROFILE_KEY",
		"box.yaml:7:22 E_PROFILE_VALUE",
		"box.yaml:8:18 E_PROFILE_VALUE",
		"box.yaml:8:29 E_PROFILE_VALUE",
		"box.yaml:9:22 E_PROFILE_VALUE",
		"x.yaml:8:12 E_OVERLAY_NOT_FOUND",
	]);
});
