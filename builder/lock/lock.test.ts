import { mkdir, readdir, readFile, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { folderWith } from "../../test/support/packs.ts";
import { diffLocks } from "./diff.ts";
import { asResolve, type BaseLock, lockPath, lockText, openLock, readLocks, writeLocks } from "./lock-file.ts";

const file = (version: string, sha256 = "a".repeat(64)) => ({
	...{ version, arch: "amd64", size: 5, sha256 },
	path: `pool/main/x/x_${version.replace(":", "%3a")}_amd64.deb`,
});
const lock: BaseLock = {
	arch: "amd64",
	inRelease: [{ suite: "noble-updates", sha256: "1".repeat(64), date: 1_757_152_800 }],
	asked: { root: ["zstd"], boot: ["shim-signed"], content: { core: ["nginx"] } },
	// Values that YAML would take for something else: a number, a time, a digest of digits with an exponent.
	root: { zstd: { ...file("1.5"), installedKiB: 7 }, "libstdc++6": file("1:30", `${"1".repeat(60)}e123`) },
	boot: { "shim-signed": file("1.58+15.8-0ubuntu1") },
	content: { core: { nginx: file("~rc1") } },
};
/** Made on a host of arm64, which needs a workshop. */
const foreign: BaseLock = {
	...lock,
	workshop: {
		...{ arch: "arm64", inRelease: lock.inRelease, asked: ["dracut", "mmdebstrap"] },
		packages: { dracut: { ...file("106"), arch: "arm64" } },
	},
};

test("a lock reads back as it was written, one package a line, and the same text each time", async () => {
	const path = lockPath(join(await folderWith(), "p.yaml"));
	await writeLocks(path, { "ubuntu-24.04": lock, "debian-13": foreign });
	expect(path).toMatch(/\/p\.lock\.yaml$/);
	expect(await readLocks(path)).toEqual({ "ubuntu-24.04": lock, "debian-13": foreign });
	const text = await readFile(path, "utf8");
	expect(text).toBe(lockText({ "debian-13": foreign, "ubuntu-24.04": lock }));
	expect(text).toMatch(
		/^ {6}zstd: \{ version: "1\.5", arch: amd64, size: 5, sha256: a{64}, path: \S+, installedKiB: 7 \}$/m,
	);
	expect(await readdir(join(path, ".."))).toEqual(["p.lock.yaml"]);
});

test("a locked set is an archive's answer, dated by its Release files alone", () => {
	expect(asResolve(lock, lock.root, lock.boot)).toMatchObject({
		packages: { zstd: "1.5" },
		boot: { "shim-signed": "1.58+15.8-0ubuntu1" },
		// What a profile's firmware costs is known from the lock alone.
		sizes: { zstd: 7 },
		files: { zstd: { size: 5 }, "shim-signed": { arch: "amd64" } },
		resolvedAt: "2025-09-06T10:00:00.000Z",
	});
});

test("only where there is nothing at all there is no lock", async () => {
	const profile = join(await folderWith(), "p.yaml");
	expect(await readLocks(lockPath(profile))).toEqual({});
	await symlink("gone", lockPath(profile));
	await expect(readLocks(lockPath(profile))).rejects.toMatchObject({ code: "E_LOCK" });
	await unlink(lockPath(profile));
	await mkdir(lockPath(profile));
	await expect(readLocks(lockPath(profile))).rejects.toMatchObject({ code: "E_LOCK" });
});

test("a lock for other wishes is refused, with what differs; another base than the locked ones is free", async () => {
	const profile = join(await folderWith(), "p.yaml");
	await writeLocks(lockPath(profile), { b: lock });
	expect(await openLock(profile, "b", "amd64", lock.asked, undefined)).toEqual(lock);
	expect(await openLock(profile, "other", "amd64", lock.asked, undefined)).toBeUndefined();
	const asked = { root: ["jq"], boot: lock.asked.boot, content: {} };
	await expect(openLock(profile, "b", "arm64", asked, undefined)).rejects.toMatchObject({
		code: "E_LOCK",
		message: expect.stringMatching(/arch arm64 instead of amd64, \+jq, -zstd, core: -nginx\.$/),
	});
});

test("a host of another architecture needs a lock that has its workshop; one of the same takes either", async () => {
	const profile = join(await folderWith(), "p.yaml");
	await writeLocks(lockPath(profile), { native: lock, foreign });
	const open = (base: string, ...packages: string[]) =>
		openLock(profile, base, "amd64", lock.asked, { arch: "arm64", packages });
	expect(await open("foreign", "dracut", "mmdebstrap")).toEqual(foreign);
	expect(await openLock(profile, "foreign", "amd64", lock.asked, undefined)).toEqual(foreign);
	await expect(open("native", "dracut", "mmdebstrap")).rejects.toMatchObject({
		code: "E_LOCK",
		message: expect.stringMatching(/no workshop for a build host of arm64\.$/),
	});
	await expect(open("foreign", "dracut", "passwd")).rejects.toMatchObject({
		message: expect.stringMatching(/workshop: \+passwd, workshop: -mmdebstrap\.$/),
	});
});

const suite = "noble main\ndeb [trusted=yes] http://evil/ubuntu noble";
test.each<[string, Partial<BaseLock>, RegExp]>([
	["a path that climbs", { root: { zstd: { ...file("1"), path: "pool/../../x" } } }, /a path below the archive's/],
	["an absolute path", { boot: { shim: { ...file("1"), path: "/etc/passwd" } } }, /a path below the archive's folder/],
	["a second archive", { inRelease: [{ ...lock.inRelease[0]!, suite }] }, /inRelease\.0\.suite`: a suite/],
	["an option of apt for a package", { root: { "-oDir::Bin::Methods": file("1") } }, /`bases\.b\.root\./],
	[
		"an option of apt for a version",
		{ content: { core: { a: { ...file("1"), version: "1 -oX=1" } } } },
		/core\.a\.version`: a version/,
	],
	["a wildcard", { boot: { shim: { ...file("1"), version: "1*" } } }, /shim\.version`: a version/],
	[
		"a workshop from elsewhere",
		{ workshop: { ...foreign.workshop!, inRelease: [{ ...lock.inRelease[0]!, suite }] } },
		/a suite/,
	],
])("a lock with %s is not read", async (_, wrong, message) => {
	const target = lockPath(join(await folderWith(), "p.yaml"));
	await writeFile(target, lockText({ b: { ...lock, ...wrong } }));
	await expect(readLocks(target)).rejects.toThrow(message);
});

test("a difference tells what is new, gone, newer, older, and rebuilt under the same version", async () => {
	const after: BaseLock = {
		...lock,
		root: { zstd: file("1.6"), jq: file("1") },
		boot: { "shim-signed": file("1.58+15.8-0ubuntu1", "b".repeat(64)) },
		content: { core: { nginx: file("0") } },
	};
	const order = async (a: string, b: string) => a.localeCompare(b);
	const changes = await diffLocks(lock, after, async (a, b) => (a === "~rc1" ? 1 : order(a, b)));
	expect(changes.map(({ set, name, kind }) => `${set} ${name} ${kind}`)).toEqual([
		"root jq added",
		"root libstdc++6 removed",
		"root zstd upgraded",
		"boot shim-signed rebuilt",
		"core nginx downgraded",
	]);
	expect(await diffLocks(lock, lock, order)).toEqual([]);
	expect(await diffLocks(lock, foreign, order)).toMatchObject([{ set: "workshop", name: "dracut", kind: "added" }]);
	expect((await diffLocks(undefined, lock, order)).every(({ kind }) => kind === "added")).toBe(true);
});
