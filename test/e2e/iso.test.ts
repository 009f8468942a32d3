import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { Manifest } from "../../builder/release/manifest.ts";
import { run } from "../../builder/tools/run.ts";
import { readIsoRelease } from "../../bundle/release.ts";
import { loadTrust } from "../../bundle/trust.ts";
import { copyProject } from "../support/project-copy.ts";

/**
 * The real `build` of both shipped profiles on debian-13, with xorriso, unsquashfs, openssl and sha256sum as the judges, and
 * the boot of both (more of them: boot-matrix.test.ts). Needs root, the package archive and QEMU.
 */

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const BASE = "debian-13";

interface Built {
	readonly folder: string;
	readonly name: string;
	readonly iso: string;
	readonly stages: readonly { name: string; cached: boolean }[];
	readonly manifest: Manifest;
}

async function slipway(args: readonly string[], root = ROOT): Promise<string> {
	return (await run(join(root, "slipway"), args, { cwd: root })).stdout;
}

async function build(profile: string, root = ROOT, ...more: string[]): Promise<Built> {
	const args = ["build", profile, "--base", BASE, "--json", ...more];
	const { stdout } = await run(join(root, "slipway"), args, { cwd: root, env: canaries.env });
	const built = JSON.parse(stdout) as Omit<Built, "manifest">;
	return { ...built, manifest: JSON.parse(await readFile(join(built.folder, `${built.name}.manifest.json`), "utf8")) };
}

let vertex: Built;
let palette: Built;
let dir: string;
let canaries: { readonly env: Record<string, string>; readonly patterns: string };
beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-iso-"));
	canaries = await plantCanaries(join(dir, "canaries"));
	vertex = await build("vertex-fips-amd64");
	palette = await build("palette-amd64");
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe.each([["vertex-fips-amd64"], ["palette-amd64"]])("the ISO of %s", (profile) => {
	const built = () => (profile === "palette-amd64" ? palette : vertex);

	test("starts by BIOS and UEFI, from CD and from a stick, says xorriso", async () => {
		const { manifest, iso } = built();
		const report = ["-indev", iso, "-pvd_info", "-report_el_torito", "plain", "-report_system_area", "plain"];
		const { stdout } = await run("xorriso", report);
		expect(stdout).toMatch(new RegExp(`^Volume Id +: SLIPWAY_${manifest.rootId.slice(0, 12).toUpperCase()}$`, "m"));
		expect(stdout).toMatch(/^El Torito boot img : +1 +BIOS +y /m);
		expect(stdout).toMatch(/^El Torito boot img : +2 +UEFI +y /m);
		expect(stdout).toMatch(/^System area summary: MBR protective-msdos-label grub2-mbr cyl-align-off GPT$/m);
		expect(stdout).toMatch(/^MBR partition +: +2 +0x80 /m);
		expect(stdout).toMatch(/^GPT type GUID +: +2 +28732ac11ff8d211ba4b00a0c93ec93b$/m);
	});

	test("holds what its signed list and its release say, byte for byte", async () => {
		const { iso, folder, manifest, name } = built();
		const out = await mkdtemp(join(dir, "tree-"));
		await run("xorriso", ["-osirrox", "on", "-indev", iso, "-extract", "/", out]);
		await run("chmod", ["-R", "u+w", out]);
		const trust = await loadTrust(join(folder, "public_key.pem"));
		const { release, development } = readIsoRelease(
			await readFile(join(out, ".disk/iso-release.dsse.json")),
			trust.release,
		);
		expect(development).toBe(true);
		expect(release).toMatchObject({ buildId: manifest.buildId, rootId: manifest.rootId, fips: manifest.fips !== null });
		expect((await readFile(join(out, ".disk/slipway-build-id"), "utf8")).trim()).toBe(manifest.buildId);
		const list = release.files.map((file) => `${file.sha256}  ${file.path}\n`).join("");
		for (const path of [
			"live/rootfs.squashfs",
			"boot/vmlinuz",
			"boot/initrd",
			"boot/grub/grub.cfg",
			"EFI/BOOT/BOOTX64.EFI",
		]) {
			expect(list).toContain(`  ${path}\n`);
		}
		await run("sha256sum", ["--check", "--strict", "-"], { cwd: out, input: list });
		// Content: the same files as beside the ISO, and every bundle that the manifest names is there.
		const content = (await readdir(join(out, "content"))).sort();
		expect(content).toEqual(
			expect.arrayContaining(["release.dsse.json", ...manifest.bundles.map((bundle) => bundle.file)]),
		);
		for (const file of content) await run("cmp", [join(out, "content", file), join(folder, file)]);
		await run("sha256sum", ["--check", "--strict", `${name}.iso.sha256`], { cwd: folder });
		const signature = ["-signature", join(folder, `${name}.iso.sig.bin`), iso];
		const { stdout } = await run("openssl", [
			"dgst",
			"-sha256",
			"-verify",
			join(folder, "public_key.pem"),
			...signature,
		]);
		expect(stdout).toContain("Verified OK");
		await rm(out, { recursive: true });
	});

	test("says in its menu and its root image what it is", async () => {
		const { iso, manifest } = built();
		const fips = profile === "vertex-fips-amd64";
		const out = await mkdtemp(join(dir, "root-"));
		const extract = [
			"-extract",
			"/boot/grub/grub.cfg",
			join(out, "grub.cfg"),
			"-extract",
			"/live/rootfs.squashfs",
			join(out, "root"),
		];
		await run("xorriso", ["-osirrox", "on", "-indev", iso, ...extract]);
		const menu = await readFile(join(out, "grub.cfg"), "utf8");
		for (const entry of ["Start:", "Start with serial console:", "Check the medium:"])
			expect(menu).toContain(`menuentry "${entry}`);
		expect(menu).toContain("development key");
		expect(menu.includes(" fips=1 ")).toBe(fips);
		expect(menu.includes("FIPS mode, module not certified")).toBe(fips);
		const read = async (path: string) => (await run("unsquashfs", ["-cat", join(out, "root"), path])).stdout;
		const config = JSON.parse(await read("etc/slipway/appliance.json"));
		expect(config).toMatchObject({ profile, version: manifest.version, fips, content: "/run/slipway-medium/content" });
		expect(config.fipsModule?.version).toBe(manifest.fips?.version);
		expect(JSON.parse(await read("etc/slipway/trust/trust.json")).release.keys).toEqual([
			{ file: "release.pem", development: true },
		]);
		const list = (await run("unsquashfs", ["-lls", join(out, "root")])).stdout;
		expect(list).toMatch(/^-rwxr-xr-x root\/root .* squashfs-root\/usr\/lib\/slipway\/node$/m);
		expect(list).toMatch(/ 0 .* squashfs-root\/etc\/machine-id$/m);
		expect(list).not.toMatch(
			/squashfs-root\/boot\/vmlinuz|squashfs-root\/etc\/apt\/.|squashfs-root\/etc\/resolv\.conf|\/ssh_host_/,
		);
		expect(list.includes("slipway-agent.service.d/fips.conf")).toBe(fips);
		expect(list.includes("ossl-modules/fips.so")).toBe(fips);
		expect(list).not.toMatch(/squashfs-root\/etc\/apt\/sources\.list($|\.d\/.)/m);
		// Nobody can log in, and nothing invites to.
		expect(await read("etc/shadow")).not.toMatch(/^[^:]+:[^*!:]/m);
		await rm(out, { recursive: true });
	});
});

test("a second build of the same inputs runs no stage", async () => {
	const again = await build("vertex-fips-amd64");
	expect(again.stages.filter((stage) => !stage.cached)).toEqual([]);
	expect(again.manifest).toEqual(vertex.manifest);
});

test("a second clone makes the same ISO from the inputs file, without the private key", async () => {
	const clone = join(dir, "clone");
	onTestFinished(() => rm(clone, { recursive: true, force: true }));
	await copyProject(ROOT, clone);
	const inputs = join(vertex.folder, `${vertex.name}.inputs.json`);
	const twin = await build("vertex-fips-amd64", clone, "--inputs", inputs);
	expect(twin.stages.every((stage) => !stage.cached)).toBe(true);
	await run("cmp", [twin.iso, vertex.iso]);
	for (const file of (await readdir(twin.folder)).filter((name) => !name.endsWith(".manifest.json"))) {
		await run("cmp", [join(twin.folder, file), join(vertex.folder, file)]);
	}
	// Ids say how something was asked for, and a given package set is asked for in another way than a found one.
	expect({ ...twin.manifest, stages: {} }).toEqual({ ...vertex.manifest, stages: {} });
	expect(await leaks(clone, twin)).toEqual([]);
	await expect(stat(join(clone, ".keys"))).rejects.toMatchObject({ code: "ENOENT" });
	await rm(clone, { recursive: true });
});

test("no secret of the user is in a log, a record, a root or a release", async () => {
	// A search that finds nothing where the secrets do stand would prove nothing.
	expect((await leaking([join(dir, "canaries")])).length).toBe(4);
	expect(await leaks(ROOT, vertex)).toEqual([]);
	expect(await leaks(ROOT, palette)).toEqual([]);
});

test("the FIPS appliance boots by UEFI from a stick with Secure Boot, verifies its bundle and keeps it on a data disk", async () => {
	const disk = join(dir, "data.img");
	await writeFile(disk, "");
	await truncate(disk, 512 * 2 ** 20);
	const table = "label: gpt\nstart=2048, type=5AFE510A-9B1D-4F2E-8C57-511B3A7D0001, name=SLIPWAY-DATA\n";
	await run("sfdisk", ["--quiet", disk], { input: table });
	await run("mkfs.ext4", ["-q", "-F", "-E", `offset=${2048 * 512}`, disk, "500M"]);
	const report = await boot("vertex-fips-amd64", ["--firmware", "uefi-secureboot", "--media", "usb", "--disk", disk]);
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
			"nginx -v",
		]),
	);
	expect(report.status).toMatchObject({
		...{ stage: "ready", developmentKey: true, store: { kind: "persistent" } },
		boot: { secureBoot: true, root: "integrity-checked" },
	});
	expect(JSON.parse(await readFile(join(vertex.folder, `${vertex.name}.boot-report.json`), "utf8"))).toEqual(report);
	const serial = await readFile(join(vertex.folder, `${vertex.name}.boot-serial.log`), "latin1");
	expect(serial).toContain("development key");
	expect(serial).toContain("not certified");
});

test("the other appliance boots by BIOS from a stick, and serves in place; the stick is pulled out and put back", async () => {
	const report = await boot("palette-amd64", ["--firmware", "bios", "--media", "usb"]);
	expect(report.checks.filter((check) => !check.ok)).toEqual([]);
	expect(report.checks.map((check) => check.name)).toEqual(
		expect.arrayContaining([
			"medium pulled out",
			"medium put back",
			"medium put back: blobs",
			"medium put back: nginx -v",
		]),
	);
	expect(report.status).toMatchObject({
		...{ stage: "ready", fips: { required: false }, store: { kind: "ephemeral" }, servedFrom: "medium" },
		boot: { secureBoot: false, root: "integrity-checked" },
	});
});

async function boot(profile: string, more: readonly string[]) {
	const text = await slipway(["boot", profile, "--base", BASE, "--check", "--json", ...more]);
	return JSON.parse(text) as {
		checks: { name: string; ok: boolean; detail: string }[];
		status: Record<string, unknown>;
	};
}

/** Secrets as a user would give them, with words in them that stand nowhere else. */
async function plantCanaries(folder: string): Promise<typeof canaries> {
	const words = ["PROxCANARYx0123456789abc", "REGISTRYxCANARYx0123456789", "PASSPHRASExCANARYx0123456789"];
	const auth = Buffer.from(`robot:${words[1]}`).toString("base64");
	await mkdir(folder);
	const file = async (name: string, text: string) => {
		await writeFile(join(folder, name), text, { mode: 0o600 });
		return join(folder, name);
	};
	return {
		env: {
			PRO_TOKEN_FILE: await file("pro", `${words[0]}\n`),
			REGISTRY_AUTH_FILE: await file("auth.json", JSON.stringify({ auths: { "registry.test": { auth } } })),
			SIGNING_KEY_PASSPHRASE_FILE: await file("passphrase", `${words[2]}\n`),
		},
		patterns: await file("patterns", `${[...words, auth].join("\n")}\n`),
	};
}

async function leaking(paths: readonly string[]): Promise<string[]> {
	const { stdout } = await run("grep", ["-raFlf", canaries.patterns, "--", ...paths], { accept: [0, 1] });
	return stdout.split("\n").filter(Boolean);
}

/** Files that a build left behind with a secret in them; the stages' outputs include the root as a tar, not compressed. */
async function leaks(root: string, built: Built): Promise<string[]> {
	const cache = join(root, ".cache");
	const record = join(cache, "records", `${built.manifest.profile}-${BASE}.json`);
	const stages = Object.values(JSON.parse(await readFile(record, "utf8")) as Record<string, { id: string }>);
	expect(stages.length).toBe(built.stages.length);
	return leaking([
		...["logs", "records", "resolve"].map((folder) => join(cache, folder)),
		...stages.map(({ id }) => join(cache, "stages", id)),
		built.folder,
	]);
}
