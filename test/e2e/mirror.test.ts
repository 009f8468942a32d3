import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { run } from "../../builder/tools/run.ts";
import { writeArchive } from "../support/archive.ts";
import { type LockedSite, lockedSite } from "../support/locked-site.ts";
import { projectRoot } from "../support/packs.ts";

/** A folder made by `slipway mirror`, and a whole build from it in a network name space that has no network, not even loopback. */

let site: LockedSite;
let folder: string;

beforeAll(async () => {
	site = await lockedSite();
	folder = join(site.dir, "mirror");
	const early = await site.slipway(["mirror", site.profile, folder]);
	expect(early).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^E_LOCK: .*Next: .*slipway lock/ms) });
	await site.slipway(["lock", site.profile]);
	const made = await site.slipway(["mirror", site.profile, folder, "--json"]);
	expect([made.exitCode, made.stderr]).toEqual([0, ""]);
	expect(JSON.parse(made.stdout)).toMatchObject({ mirror: `file://${folder}`, keyring: join(folder, "keyring.gpg") });
});

test("the folder holds what the lock names and no other package, and the signed lists as they were", async () => {
	const lock = await readFile(join(site.dir, "site.lock.yaml"), "utf8");
	const named = [...new Set([...lock.matchAll(/path: ([^ ,]+)/g)].map((m) => m[1]!))].sort();
	const { stdout } = await run("find", ["pool", "-type", "f"], { cwd: folder });
	expect(stdout.split("\n").sort()).toEqual(named);
	for (const { suite } of site.archive.suites) {
		const path = join("dists", suite, "InRelease");
		await run("cmp", [join(folder, path), join(site.archive.folder, path)]);
	}
	const again = await site.slipway(["mirror", site.profile, folder]);
	expect(again).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^E_USAGE: .*not empty/m) });
});

test("from it the whole ISO is built with no network, even when its lists have expired meanwhile", async () => {
	// The lock says which bytes are taken, so the age of the lists does not matter.
	const aged = site.archive.suites.map((suite) => ({ ...suite, validUntil: "Sun, 07 Sep 2025 10:00:00 UTC" }));
	const signed = join(site.dir, "aged");
	await writeArchive(signed, aged, site.archive.key);
	await run("cp", ["-r", join(signed, "dists"), folder]);
	await site.server.close();
	const env = { MIRROR: `file://${folder}`, KEYRING: join(folder, "keyring.gpg") };
	const { stdout } = await run("unshare", ["--net", join(projectRoot, "slipway"), "build", site.profile, "--json"], {
		env,
	});
	const built = JSON.parse(stdout) as { iso: string; folder: string; name: string };
	expect((await stat(built.iso)).size).toBeGreaterThan(50_000_000);
	const manifest = JSON.parse(await readFile(join(built.folder, `${built.name}.manifest.json`), "utf8"));
	expect(manifest.packages["linux-image-virtual"]).toBe("6.8.0-60.63");
	expect(manifest.bundles.map(({ name }: { name: string }) => name)).toContain("core");
});
