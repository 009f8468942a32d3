import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Manifest } from "../../builder/release/manifest.ts";
import { run } from "../../builder/tools/run.ts";
import { type ArchiveServer, serveFolder } from "../support/archive-server.ts";
import { type UbuntuArchive, ubuntuArchive } from "../support/archive-ubuntu.ts";
import { projectRoot } from "../support/packs.ts";
import { tempDir } from "../support/temp.ts";

/**
 * The base ubuntu-24.04, its file unchanged, built from an archive that is laid out and signed as Ubuntu's: what the base says about
 * pockets, components, package names and paths in packages is used for real, and the ISO boots. Needs root, Debian's archive
 * (once), and QEMU.
 */

const PROFILE = "palette-amd64";
let archive: UbuntuArchive;
let server: ArchiveServer;
let dir: string;
let built: { readonly iso: string; readonly folder: string; readonly name: string };

beforeAll(async () => {
	dir = await tempDir();
	archive = await ubuntuArchive(dir);
	server = await serveFolder(archive.folder);
	const { stdout } = await run("make", ["--no-print-directory", "iso", `PROFILE=${PROFILE}`, "JSON=1"], {
		cwd: projectRoot,
		env: { MIRROR: server.url, KEYRING: archive.key.keyring },
	});
	built = JSON.parse(stdout);
});
afterAll(async () => {
	await archive?.key.close();
	await server?.close();
});

test("packages come from the release, from -updates and from -security, out of both components", async () => {
	const suites = ["noble", "noble-updates", "noble-security"];
	for (const suite of suites) expect(server.asked).toContain(`/dists/${suite}/InRelease`);
	const manifest: Manifest = JSON.parse(await readFile(join(built.folder, `${built.name}.manifest.json`), "utf8"));
	expect(manifest.base).toEqual({ name: "ubuntu-24.04", title: "Ubuntu 24.04 LTS (noble)", suite: "noble" });
	expect(manifest.packages["linux-image-generic"]).toBe("6.8.0-60.63");
	const universe = archive.suites[0]!.packages.filter((p) => p.component === "universe").map((p) => p.name);
	expect(universe).toContain("dracut");
	expect(manifest.packages).toHaveProperty("dracut");
	const inputs = JSON.parse(await readFile(join(built.folder, `${built.name}.inputs.json`), "utf8"));
	expect(inputs.resolve.inRelease.map((r: { suite: string }) => r.suite)).toEqual([...suites].sort());
	expect(inputs.resolve.files["shim-signed"].path).toBe(
		"pool/main/s/shim-signed/shim-signed_1.58+15.8-0ubuntu1_amd64.deb",
	);
});

test("the medium holds Ubuntu's signed shim under firmware's name, and the root no trace of the mirror", async () => {
	const out = await tempDir();
	const take = ["/EFI/BOOT/BOOTX64.EFI", "/live/rootfs.squashfs"].flatMap((path, i) => [
		"-extract",
		path,
		join(out, `${i}`),
	]);
	await run("xorriso", ["-osirrox", "on", "-indev", built.iso, ...take]);
	const shim = archive.suites[2]!.packages[0]!;
	await run("dpkg-deb", ["-x", shim.file, join(out, "shim")]);
	await run("cmp", [join(out, "0"), join(out, "shim/usr/lib/shim/shimx64.efi.signed.latest")]);
	await run("unsquashfs", ["-no-progress", "-dest", join(out, "root"), join(out, "1")]);
	const { stdout } = await run("grep", ["-rlaF", new URL(server.url).host, join(out, "root")], { accept: [1] });
	expect(stdout).toBe("");
});

test("it boots to ready and serves its content", async () => {
	const { stdout } = await run(join(projectRoot, "slipway"), ["boot", PROFILE, "--check", "--json"], {
		cwd: projectRoot,
	});
	const report = JSON.parse(stdout) as {
		checks: { name: string; ok: boolean }[];
		secondsToReady: number;
		status: Record<string, unknown>;
	};
	expect(report.checks.filter((check) => !check.ok)).toEqual([]);
	expect(report.secondsToReady).toBeGreaterThan(0);
	expect(report.status).toMatchObject({ fips: { required: false } });
});
