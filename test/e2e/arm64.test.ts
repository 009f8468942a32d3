import { chmod, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { installedPackages } from "../../builder/archive/dpkg.ts";
import type { Manifest } from "../../builder/release/manifest.ts";
import { parseStanza } from "../../builder/tools/dpkg.ts";
import { run } from "../../builder/tools/run.ts";
import { projectRoot } from "../support/packs.ts";

/**
 * Both products for arm64, built on a host of another architecture, and booted under emulation. Needs root, the package archive,
 * qemu-user-static and QEMU; `scripts/bootstrap foreign` must have run.
 */

const BASE = "debian-13";
const AARCH64 = 183;

interface Built {
	readonly folder: string;
	readonly name: string;
	readonly iso: string;
	readonly stages: readonly { name: string; id: string; cached: boolean }[];
	readonly manifest: Manifest;
	/** The root image, unpacked. */
	readonly root: string;
}

const built: Partial<Record<"palette-arm64" | "vertex-fips-arm64", Built>> = {};
let dir: string;
/** palette-arm64 in a folder of its own, so that a lock can stand beside it. */
let locked: string;
beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-arm64-"));
	// Where everyone may read: apt checks signatures as a user of its own.
	await chmod(dir, 0o755);
	await run(join(projectRoot, "scripts/bootstrap"), ["foreign"], { cwd: projectRoot });
	locked = await profileFile("palette-arm64");
	await slipway(["lock", locked, "--base", BASE]);
	built["palette-arm64"] = await build(locked);
	built["vertex-fips-arm64"] = await build("vertex-fips-arm64");
});
afterAll(() => rm(dir, { recursive: true, force: true }));

function slipway(args: readonly string[], accept = [0]) {
	return run(join(projectRoot, "slipway"), args, { cwd: projectRoot, accept });
}

/** A profile of this file's, made from palette-arm64. */
async function profileFile(name: string, ...lines: string[]): Promise<string> {
	const file = join(dir, `${name}.yaml`);
	const head = ["apiVersion: slipway/v1", "kind: Profile"];
	const parent = `extends: [${join(projectRoot, "profiles/palette-arm64.yaml")}]`;
	await writeFile(file, [...head, parent, ...lines, ""].join("\n"));
	return file;
}

async function readManifest({ folder, name }: Pick<Built, "folder" | "name">): Promise<Manifest> {
	return JSON.parse(await readFile(join(folder, `${name}.manifest.json`), "utf8"));
}

async function build(profile: string): Promise<Built> {
	const { stdout } = await slipway(["build", profile, "--base", BASE, "--json"]);
	const found = JSON.parse(stdout) as Built;
	const root = join(dir, found.name);
	const image = `${root}.squashfs`;
	await run("xorriso", ["-osirrox", "on", "-indev", found.iso, "-extract", "/live/rootfs.squashfs", image]);
	await run("unsquashfs", ["-no-progress", "-dest", root, image]);
	await rm(image);
	return { ...found, manifest: await readManifest(found), root };
}

describe.each([["palette-arm64"], ["vertex-fips-arm64"]] as const)("the ISO of %s", (profile) => {
	const one = () => built[profile]!;

	test("starts by UEFI alone, says xorriso", async () => {
		const report = ["-indev", one().iso, "-report_el_torito", "plain", "-report_system_area", "plain"];
		const { stdout } = await run("xorriso", report);
		expect(stdout).toMatch(/^El Torito boot img : +1 +UEFI +y /m);
		expect(stdout).not.toMatch(/^El Torito boot img : +\d+ +BIOS/m);
		expect(stdout).toMatch(/^GPT type GUID +: +2 +28732ac11ff8d211ba4b00a0c93ec93b$/m);
	});

	test("holds a root whose every program is of that architecture, and every package configured", async () => {
		const { root, manifest } = one();
		const machines = await elfMachines(root);
		expect([...machines.keys()]).toEqual([AARCH64]);
		expect(machines.get(AARCH64)).toEqual(
			expect.arrayContaining(["usr/lib/slipway/node", "usr/bin/openssl", "usr/lib/systemd/systemd"]),
		);
		const status = await readFile(join(root, "var/lib/dpkg/status"), "utf8");
		const stanzas = status.trim().split(/\n\n+/).map(parseStanza);
		expect([...new Set(stanzas.map((stanza) => stanza.Architecture))].sort()).toEqual(["all", "arm64"]);
		expect([...new Set(stanzas.map((stanza) => stanza.Status))]).toEqual(["install ok installed"]);
		expect(installedPackages(status)).toEqual(manifest.packages);
	});

	test("holds what scripts of packages do to a root, although none of its programs ran", async () => {
		const { root } = one();
		const passwd = await readFile(join(root, "etc/passwd"), "utf8");
		expect(passwd).toMatch(/^systemd-network:/m);
		// A loader that knows no library of the root finds none by its name alone.
		const cache = await readFile(join(root, "etc/ld.so.cache"), "latin1");
		expect(cache).toContain("aarch64-linux-gnu/libcrypto.so.3");
		const hwdb = await readFile(join(root, "usr/lib/udev/hwdb.bin"), "latin1");
		expect(hwdb).toContain("/usr/lib/udev/hwdb.d/");
		const [kernel] = await readdir(join(root, "usr/lib/modules"));
		const modules = await readdir(join(root, "usr/lib/modules", kernel!));
		expect(modules).toEqual(expect.arrayContaining(["modules.dep.bin", "modules.alias.bin", "modules.symbols.bin"]));
		// The archive brings folders there; the emulator, which lay there too, is gone.
		const left = await readdir(join(root, "run"), { recursive: true, withFileTypes: true });
		expect(left.filter((entry) => !entry.isDirectory())).toEqual([]);
	});
});

test("the FIPS module's configuration holds the check value of the module that is there", async () => {
	const { root, manifest } = built["vertex-fips-arm64"]!;
	expect(manifest.fips?.provider).toBe("openssl-provider-fips");
	const config = await readFile(join(root, "etc/slipway/fipsmodule.cnf"), "utf8");
	const mac = /^module-mac = (.+)$/m.exec(config)?.[1]?.replaceAll(":", "").toLowerCase();
	// OpenSSL's fixed key of the check value, as fipsinstall(1) documents it.
	const key = "f4556650ac31d35461610bac4ed81b1a181b2d8a43ea2854cbae22ca74560813";
	const module = join(root, "usr/lib/aarch64-linux-gnu/ossl-modules/fips.so");
	const { stdout } = await run("openssl", ["dgst", "-sha256", "-mac", "HMAC", "-macopt", `hexkey:${key}`, module]);
	expect(stdout.split("= ")[1]).toBe(mac);
});

test("the same inputs without the cache, from a mirror folder and with no network, make the same ISO", async () => {
	const first = built["palette-arm64"]!;
	const mirror = join(dir, "mirror");
	const made = JSON.parse((await slipway(["mirror", locked, mirror, "--base", BASE, "--json"])).stdout);
	const { stdout: debs } = await run("find", [join(mirror, "pool"), "-name", "*.deb"]);
	expect(made).toMatchObject({ packages: debs.trim().split("\n").length, keyring: join(mirror, "keyring.gpg") });
	const env = { MIRROR: `file://${mirror}`, KEYRING: join(mirror, "keyring.gpg") };
	const command = [join(projectRoot, "slipway"), "build", locked, "--base", BASE, "--json"];
	const { stdout } = await run("unshare", ["--net", ...command], { cwd: projectRoot, env });
	const again = JSON.parse(stdout) as Built;
	onTestFinished(async () => {
		const known = first.stages.map(({ id }) => id);
		for (const { id } of again.stages) {
			if (!known.includes(id)) await rm(join(projectRoot, ".cache/stages", id), { recursive: true });
		}
	});
	// Overlay and agent have nothing of a mirror in them.
	const names = ["workshop", "bootstrap", "initrd", "root", "content", "boot", "iso", "attest"];
	expect(again.stages.filter(({ cached }) => !cached).map(({ name }) => name)).toEqual(names);
	for (const file of ["initrd", "vmlinuz"]) {
		const [now, before] = [again, first].map(({ stages }) =>
			join(projectRoot, ".cache/stages", stages.find(({ name }) => name === "initrd")!.id, "out", file),
		);
		await run("cmp", [now!, before!]);
	}
	const { rootId, iso, packages } = await readManifest(again);
	expect({ rootId, packages }).toEqual({ rootId: first.manifest.rootId, packages: first.manifest.packages });
	expect(iso.sha256).toBe(first.manifest.iso.sha256);
});

test("a package whose scripts need the root's own programs is named", async () => {
	const profile = await profileFile("python", "packages: [python3-minimal]");
	const { stdout, exitCode } = await slipway(["build", profile, "--base", BASE, "--json"], [3]);
	expect(exitCode).toBe(3);
	expect(JSON.parse(stdout).errors).toEqual([
		expect.objectContaining({ code: "E_FOREIGN_PACKAGE", message: expect.stringContaining("python3") }),
	]);
});

test("a host without the emulator is told so before anything is asked or made", async () => {
	const hide = 'mount --bind "$1" /usr/bin/qemu-aarch64-static && shift && exec "$@"';
	const command = [join(projectRoot, "slipway"), "build", "palette-arm64", "--base", BASE, "--json"];
	const empty = join(dir, "empty");
	await writeFile(empty, "");
	const args = ["--mount", "sh", "-euc", hide, "sh", empty, ...command];
	const { stdout, stderr } = await run("unshare", args, { cwd: projectRoot, accept: [4] });
	expect(JSON.parse(stdout).errors).toEqual([
		expect.objectContaining({ code: "E_EMULATOR", next: expect.stringContaining("scripts/setup foreign") }),
	]);
	expect(stderr).not.toMatch(/Asking the archive|workshop/);
});

test("the FIPS appliance boots by UEFI from CD with Secure Boot, to ready, with all proofs", async () => {
	const report = await boot("vertex-fips-arm64", "uefi-secureboot", "cd");
	expect(report.checks.filter((check) => !check.ok)).toEqual([]);
	expect(report.checks.map((check) => check.name)).toEqual(
		expect.arrayContaining([
			"build id",
			"root id",
			"bundle core",
			"fips build",
			"fips kernel",
			"fips self-test",
			"blobs",
		]),
	);
	expect(report.status).toMatchObject({ stage: "ready", fips: { required: true, active: true } });
});

test("the other appliance boots from a stick, with its root in memory", async () => {
	const report = await boot(locked, "uefi", "usb");
	expect(report.checks.filter((check) => !check.ok)).toEqual([]);
	expect(report.checks.map((check) => check.name)).toEqual(expect.arrayContaining(["medium put back", "blobs"]));
	expect(report.status).toMatchObject({ stage: "ready", fips: { required: false } });
});

async function boot(profile: string, firmware: string, media: string) {
	const args = ["boot", profile, "--base", BASE, "--check", "--json", "--firmware", firmware, "--media", media];
	const { stdout } = await slipway([...args, "--timeout", "1200"]);
	return JSON.parse(stdout) as { checks: { name: string; ok: boolean }[]; status: Record<string, unknown> };
}

/** Files in ELF format by their machine. */
async function elfMachines(root: string): Promise<Map<number, string[]>> {
	const found = new Map<number, string[]>();
	for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
		if (!entry.isFile()) continue;
		const file = join(entry.parentPath, entry.name);
		const head = Buffer.alloc(20);
		const handle = await open(file);
		await handle.read(head).finally(() => handle.close());
		if (head.toString("latin1", 0, 4) !== "\x7fELF") continue;
		const machine = head.readUInt16LE(18);
		found.set(machine, [...(found.get(machine) ?? []), file.slice(root.length + 1)]);
	}
	return found;
}
