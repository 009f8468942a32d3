import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, beforeEach, expect, test } from "vitest";
import { archiveKey, pooled, type Suite, writeArchive } from "../support/archive.ts";
import { makeDeb } from "../support/archive-debs.ts";
import { standIn } from "../support/archive-ubuntu.ts";
import { type LockedSite, lockedSite } from "../support/locked-site.ts";
import { tempDir } from "../support/temp.ts";

/**
 * Locks against an archive that changes: the real commands, mmdebstrap and apt. Needs root and, once, Debian's archive.
 */

const KERNEL = "linux-image-virtual";
let site: LockedSite;
let locked: string;

beforeAll(async () => {
	site = await lockedSite();
	const { exitCode, stderr } = await site.slipway(["lock", site.profile]);
	expect([exitCode, stderr]).toEqual([0, ""]);
	locked = await readFile(join(site.dir, "site.lock.yaml"), "utf8");
});
beforeEach(async () => {
	await offer((suites) => suites);
	await writeFile(join(site.dir, "site.lock.yaml"), locked);
});

/** Signs the archive anew with other packages. */
async function offer(change: (suites: readonly Suite[]) => readonly Suite[]): Promise<void> {
	await writeArchive(site.archive.folder, change(site.archive.suites), site.archive.key);
}

/** The archive with one more package in -updates, in the place of the one of that name. */
async function offerUpdate(name: string, file: Awaited<ReturnType<typeof pooled>>): Promise<void> {
	await offer((suites) =>
		suites.map((suite) =>
			suite.suite === "noble-updates"
				? { ...suite, packages: [...suite.packages.filter((p) => p.name !== name), file] }
				: suite,
		),
	);
}

test("a lock holds every package with version, digest, size and path; the same archive gives the same text", async () => {
	expect(locked).toMatch(
		/^ {6}linux-image-virtual: \{ version: 6\.8\.0-60\.63, arch: amd64, size: \d+, sha256: [0-9a-f]{64}, path: pool\/main\/[^ ,]+[ ,].*\}$/m,
	);
	for (const name of ["shim-signed", "dracut", "base-files", "nginx"])
		expect(locked).toMatch(new RegExp(`^ +${name}: \\{`, "m"));
	expect(locked).not.toContain(new URL(site.server.url).host);
	const again = await site.slipway(["lock", site.profile, "--diff"]);
	expect([again.exitCode, again.stdout]).toEqual([0, expect.stringContaining(": 0 packages would change.")]);
	const twice: string[] = [];
	for (let i = 0; i < 2; i++) {
		await site.slipway(["lock", site.profile]);
		twice.push(await readFile(join(site.dir, "site.lock.yaml"), "utf8"));
	}
	expect(twice[0]).toBe(twice[1]);
});

test("an update shows in --diff, by its exit code too, and stops a build from the lock before anything is installed", async () => {
	await offerUpdate(KERNEL, await standIn(await tempDir(), KERNEL, "6.8.0-99.1"));
	const { exitCode, stdout } = await site.slipway(["lock", site.profile, "--diff", "--json"]);
	expect(exitCode).toBe(1);
	const change = { set: "root", name: KERNEL, kind: "upgraded", before: "6.8.0-60.63", after: "6.8.0-99.1" };
	expect(JSON.parse(stdout)).toMatchObject({ written: false, changes: [change] });
	expect(await readFile(join(site.dir, "site.lock.yaml"), "utf8")).toBe(locked);
	// A package that only a bundle wants, gone.
	const bare = site.archive.suites.map((suite) => ({
		...suite,
		packages: suite.packages.filter(({ name }) => name !== KERNEL && name !== "nginx"),
	}));
	await offer(() => bare);
	const built = await site.slipway(["build", site.profile]);
	expect(built.exitCode).toBe(4);
	const line = locked.split("\n").findIndex((text) => text.startsWith(`      ${KERNEL}:`)) + 1;
	expect(built.stderr).toMatch(
		new RegExp(
			String.raw`site\.lock\.yaml:${line}:7: E_ARCHIVE_CHANGED: .*: linux-image-virtual=6\.8\.0-60\.63, nginx=\S+\.\n {2}Next: .*slipway lock`,
		),
	);
	expect(built.stderr).not.toContain("2/9");
});

test("the same version with other bytes is refused, although the archive signs it", async () => {
	const rebuilt = {
		name: KERNEL,
		version: "6.8.0-60.63",
		depends: ["linux-image-amd64"],
		files: { "usr/x": "x" },
	};
	await offerUpdate(KERNEL, await pooled(await makeDeb(await tempDir(), rebuilt)));
	const diff = await site.slipway(["lock", site.profile, "--diff"]);
	expect([diff.exitCode, diff.stdout]).toEqual([
		1,
		expect.stringMatching(/rebuilt +root linux-image-virtual 6\.8\.0-60\.63$/m),
	]);
	const built = await site.slipway(["build", site.profile]);
	expect(built).toMatchObject({
		exitCode: 4,
		stderr: expect.stringMatching(/lock\.yaml:\d+:7: E_ARCHIVE_CHANGED: .*linux-image-virtual/),
	});
});

test("a file in the pool that is not what the index says is refused", async () => {
	// Among the first that are fetched.
	const essential = site.archive.suites[0]!.packages.find((p) => p.name === "base-files")!;
	const path = /^Filename: (.*)$/m.exec(essential.stanza)![1]!;
	const bytes = await readFile(essential.file);
	bytes[bytes.length - 1]! ^= 1;
	const target = join(site.archive.folder, path);
	await writeFile(`${target}.new`, bytes);
	await rename(`${target}.new`, target);
	const built = await site.slipway(["build", site.profile]);
	expect(built).toMatchObject({
		exitCode: 6,
		stderr: expect.stringMatching(/mirrors\.yaml:5:13: E_DIGEST_MISMATCH: .*base-files/),
	});
});

test("a profile that asks for more than its lock, and --refresh beside a lock, are refused at once", async () => {
	const more = join(site.dir, "more.yaml");
	await writeFile(more, `apiVersion: slipway/v1\nkind: Profile\nextends: [site.yaml]\npackages: [jq]\n`);
	await writeFile(join(site.dir, "more.lock.yaml"), locked);
	const plan = await site.slipway(["plan", more]);
	expect(plan).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/more\.lock\.yaml:1:1: E_LOCK: .*\+jq\./) });
	const refreshed = await site.slipway(["build", site.profile, "--refresh"]);
	expect(refreshed).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^E_USAGE: .*--refresh/m) });
});

test("an archive that has expired is told before anything else, and one that another key signed too", async () => {
	await offer((suites) => suites.map((suite) => ({ ...suite, validUntil: "Sun, 07 Sep 2025 10:00:00 UTC" })));
	const old = await site.slipway(["lock", site.profile, "--diff"]);
	expect(old).toMatchObject({
		exitCode: 4,
		stderr: expect.stringMatching(/mirrors\.yaml:5:13: E_ARCHIVE_EXPIRED: .*expired/),
	});
	const other = await archiveKey(await tempDir());
	await other.close();
	await site.writeMirrors(other.keyring);
	const wrong = await site.slipway(["lock", site.profile, "--diff"]);
	await site.writeMirrors(site.archive.key.keyring);
	expect(wrong).toMatchObject({
		exitCode: 4,
		stderr: expect.stringMatching(/mirrors\.yaml:6:14: E_KEYRING: .*NO_PUBKEY/),
	});
});
