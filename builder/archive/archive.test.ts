import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { SlipwayError } from "../../bundle/errors.ts";
import { folderWith } from "../../test/support/packs.ts";
import { type Base, baseSchema } from "../profile/schema.ts";
import { mmdebstrap } from "../tools/mmdebstrap.ts";
import type { Run } from "../tools/run.ts";
import { archiveEpoch, parseInstall, parseRelease, readAnswer } from "./answer.ts";
import { checkInstalled, installedPackages } from "./dpkg.ts";
import { keptResolve, resolveArchive } from "./resolve.ts";
import { aptSources, findKeyring, keyringDigest, mirrorOf } from "./sources.ts";

const base: Base = baseSchema.parse({
	...{ apiVersion: "slipway/v1", kind: "Base", name: "b", title: "B", distribution: "ubuntu", suite: "s" },
	components: ["main", "universe"],
	archive: {
		mirrors: { amd64: "http://a/" },
		pockets: ["-updates"],
		keyrings: ["/nowhere/k.gpg"],
		keyringPackage: "k",
	},
	...{ arch: ["amd64"], packages: [], grub: { amd64: [], arm64: [] }, firmware: { component: null, classes: {} } },
	kernel: { amd64: { generic: { package: "k1" } }, arm64: { generic: { package: "k2" } } },
	secureBoot: { amd64: { packages: [], shim: "s", grub: "g" }, arm64: { packages: [], shim: "s", grub: "g" } },
	...{ fips: null, node: { libraries: [] } },
});

test("archive lines: the base's mirror with its pockets; MIRROR= replaces it; a second word is the security archive", () => {
	expect(aptSources(base, "amd64", undefined)).toEqual([
		"deb http://a/ s main universe",
		"deb http://a/ s-updates main universe",
	]);
	expect(aptSources(base, "arm64", undefined)).toEqual([]);
	// A folder: packages of a file: archive would stay where dpkg in the root cannot see them. It holds every suite of a lock.
	expect(aptSources(base, "amd64", "file:///m", [{ suite: "s-updates" }, { suite: "s-security" }])).toEqual([
		"deb copy:///m s main universe",
		"deb copy:///m s-updates main universe",
		"deb copy:///m s-security main universe",
	]);
	expect(aptSources(base, "amd64", "http://m http://sec")).toEqual([
		"deb http://m s main universe",
		"deb http://m s-updates main universe",
		"deb http://sec s-security main universe",
	]);
});

test("a snapshot is an address of its own, of the base's archive of snapshots or of the mirror's", () => {
	const id = "20240301T030400Z";
	const dated = { ...base, archive: { ...base.archive, snapshot: "https://snap/ubuntu/{snapshot}" } };
	expect(mirrorOf(base, "http://m", undefined)).toBe("http://m");
	expect(aptSources(dated, "amd64", mirrorOf(dated, undefined, id))[1]).toBe(
		`deb [check-valid-until=no] https://snap/ubuntu/${id} s-updates main universe`,
	);
	expect(mirrorOf(dated, "http://m/{snapshot}/d http://m/{snapshot}/sec", id)).toBe(
		`http://m/${id}/d http://m/${id}/sec`,
	);
	for (const [mirror, of, wrong] of [
		[undefined, base, id],
		["http://m", dated, id],
		[undefined, dated, "yesterday"],
	] as const)
		expect(() => mirrorOf(of, mirror, wrong)).toThrow(expect.objectContaining({ code: "E_USAGE" }));
});

test("an address with a password in it is refused, and not repeated", () => {
	expect(() => aptSources(base, "amd64", "http://sec https://me:hunter2@m/debian")).toThrow(
		expect.objectContaining({ code: "E_USAGE", message: expect.not.stringContaining("hunter2") }),
	);
	expect(aptSources(base, "amd64", "http://m/~user@home/")).toHaveLength(2);
});

test.each(["nonsense", "m/ubuntu", "http://m\nhttp://n", "ftp://m/ubuntu"])("MIRROR=%j is no address", (mirror) => {
	expect(() => aptSources(base, "amd64", mirror)).toThrow(
		expect.objectContaining({ code: "E_USAGE", next: expect.stringContaining("MIRROR=") }),
	);
});

const index = (fields: string) => `Package: a\nVersion: 1\nArchitecture: all\nSize: 3\n${fields}\n`;
const digest = `SHA256: ${"a".repeat(64)}`;
test.each([
	["no SHA256", index("MD5sum: 00\nFilename: pool/a.deb"), /no valid SHA256 for "a 1"/],
	["a path that climbs", index(`${digest}\nFilename: ./../a.deb`), /no valid Filename for "a 1"/],
	["no such package", "", /does not describe a 1/],
])("an archive whose index has %s is told as that", async (_, text, message) => {
	const answer = readAnswer(await answerFolder(text), []);
	await expect(answer).rejects.toMatchObject({ code: "E_ARCHIVE_INDEX", message: expect.stringMatching(message) });
});

test("an archive that was made of a folder names its files from there", async () => {
	const { root } = await readAnswer(await answerFolder(index(`${digest}\nFilename: ./pool/a.deb`)), []);
	expect(root.files).toMatchObject({ a: { path: "pool/a.deb" } });
});

/** What resolve-hook.sh leaves. */
function answerFolder(index: string): Promise<string> {
	const release = "Date: Sat, 06 Sep 2025 10:00:00 UTC\n";
	return folderWith({
		...{ m_dists_s_InRelease: release, "boot.txt": "", "root.install": "Inst a (1 X [all])\n", "index.txt": index },
	});
}

test("a keyring that this host lacks is told, with what to do", async () => {
	await expect(findKeyring(base, undefined)).rejects.toMatchObject({
		code: "E_KEYRING",
		next: expect.stringContaining("KEYRING="),
	});
	await expect(findKeyring(base, "/nowhere")).rejects.toMatchObject({ code: "E_KEYRING" });
	await expect(keyringDigest(base, "/")).rejects.toMatchObject({ code: "E_KEYRING" });
});

test("what apt would install, and what dpkg says is installed, must be the same", () => {
	const resolved = parseInstall(
		"Inst libc6 (2.41-12 Debian:13.0/stable [amd64])\nInst a [1] (2 X:1 [all]) []\nConf a (2 X)\n",
	);
	expect(resolved).toEqual({ a: "2", libc6: "2.41-12" });
	const status = (version: string) =>
		`Package: a\nStatus: install ok installed\nVersion: ${version}\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: libc6\nStatus: install ok installed\nVersion: 2.41-12\n`;
	checkInstalled(installedPackages(status("2")), resolved);
	expect(() => checkInstalled(installedPackages(status("3")), resolved)).toThrow(/a 2 became 3/);
});

test("the newest signed Release file dates what comes from the archive", () => {
	const release = (suite: string, date: string) =>
		parseRelease(`m_ubuntu_dists_${suite}_InRelease`, Buffer.from(`Origin: X\nCodename: s\nDate: ${date}\n`));
	const inRelease = [
		release("s", "Sat, 06 Sep 2025 10:00:00 UTC"),
		release("s-updates", "Sun, 07 Sep 2025 10:00:00 UTC"),
	];
	// Ubuntu's pockets carry the code name of their release.
	expect(inRelease.map(({ suite }) => suite)).toEqual(["s", "s-updates"]);
	expect(archiveEpoch({ inRelease, packages: {}, boot: {}, resolvedAt: "" })).toBe(Date.UTC(2025, 8, 7, 10) / 1000);
	expect(() => release("s", "yesterday")).toThrow(SlipwayError);
});

/** Stands for a program that prints something and fails. */
const failing =
	(line: string): Run =>
	async (_file, _args, options) => {
		options?.onLine?.(line);
		throw new SlipwayError("E_TOOL_FAILED", "mmdebstrap failed");
	};

test.each([
	["E: Failed to fetch http://m/dists/s/InRelease  Could not connect to m:80", "E_ARCHIVE_UNREACHABLE"],
	["Err:1 http://m s InRelease   Temporary failure resolving 'm'", "E_ARCHIVE_UNREACHABLE"],
	["W: GPG error: http://m s InRelease: ... NO_PUBKEY 0E98404D386FA1D9", "E_KEYRING"],
	["W: GPG error: http://m s InRelease: The following signatures were invalid: BADSIG 1", "E_KEYRING"],
	["E: Release file for http://m/dists/s/InRelease is expired (invalid since 1d).", "E_ARCHIVE_EXPIRED"],
	["E: Failed to fetch http://m/pool/a.deb  Hash Sum mismatch", "E_DIGEST_MISMATCH"],
	[`changed: bash=5.2 ${"a".repeat(64)}`, "E_ARCHIVE_CHANGED"],
	["Invalid token. See https://ubuntu.com/pro/dashboard", "E_PRO_TOKEN"],
	["E: Unable to locate package nginxx", "E_PROFILE_VALUE"],
	["E: Version '1.0' for 'a' was not found", "E_ARCHIVE_CHANGED"],
	["E: something else", "E_TOOL_FAILED"],
])("%s → %s", async (line, code) => {
	const request = {
		suite: "s",
		arch: "amd64",
		variant: "custom",
		include: [],
		sources: [],
		keyring: "k",
		target: "t",
	} as const;
	await expect(mmdebstrap(failing(line), request, 0)).rejects.toMatchObject({ code });
});

test("a proxy is told to apt in the environment alone, so that no trace of it is left", async () => {
	vi.stubEnv("APT_PROXY", "http://proxy:3142");
	onTestFinished(() => {
		vi.unstubAllEnvs();
	});
	let called: { args: readonly string[]; env: Record<string, string> } | undefined;
	const request = {
		suite: "s",
		arch: "amd64",
		variant: "custom",
		include: [],
		sources: [],
		keyring: "k",
		target: "t",
	} as const;
	const asking: Run = async (_, args, options) => {
		called = { args, env: options!.env! };
		return { stdout: "", stderr: "", exitCode: 0 };
	};
	await mmdebstrap(asking, request, 0);
	expect(called!.env).toMatchObject({ http_proxy: "http://proxy:3142", https_proxy: "http://proxy:3142" });
	expect(called!.args.join(" ")).not.toContain("proxy");
	for (const proxy of ["http://me:hunter2@proxy:3142", "me:hunter2@proxy:3142"]) {
		vi.stubEnv("APT_PROXY", proxy);
		called = undefined;
		await expect(mmdebstrap(asking, request, 0)).rejects.toMatchObject({
			code: "E_USAGE",
			message: expect.stringMatching(/^APT_PROXY= (?!.*hunter2)/),
		});
		expect(called).toBeUndefined();
	}
});

test("an archive is asked once; its answer is kept until --refresh, and a failure leaves nothing behind", async () => {
	const cacheDir = await mkdtemp(join(tmpdir(), "slipway-resolve-"));
	onTestFinished(() => rm(cacheDir, { recursive: true, force: true }));
	const keyring = join(cacheDir, "keyring");
	await writeFile(keyring, "");
	let asked = 0;
	const works: string[] = [];
	const answering: Run = async (_file, _args, options) => {
		asked++;
		const out = options!.env!.SLIPWAY_OUT!;
		works.push(out);
		const stanza = (name: string, version: string | number) =>
			`Package: ${name}\nVersion: ${version}\nArchitecture: amd64\nInstalled-Size: 7\nFilename: pool/${name}.deb\nSize: 5\nSHA256: ${"a".repeat(64)}\n\n`;
		expect(await readFile(join(out, "root.asked"), "utf8")).toMatch(/^\?essential a/);
		await writeFile(join(out, "m_dists_s_InRelease"), "Codename: s\nDate: Sat, 06 Sep 2025 10:00:00 UTC\n");
		await writeFile(join(out, "root.install"), `Inst a (${asked} X:1 [amd64])\n`);
		await writeFile(join(out, "boot.txt"), "shim-signed 1.5\n");
		await writeFile(join(out, "index.txt"), stanza("a", asked) + stanza("shim-signed", "1.5"));
		return { stdout: "", stderr: "", exitCode: 0 };
	};
	const request = {
		base,
		arch: "amd64",
		packages: ["a"],
		mirror: undefined,
		keyring,
		cacheDir,
		refresh: false,
	} as const;
	await expect(resolveArchive(request, failing("E: Unable to locate package a"))).rejects.toMatchObject({
		code: "E_PROFILE_VALUE",
	});
	expect((await resolveArchive(request, answering)).packages).toEqual({ a: "1" });
	expect(await resolveArchive(request, answering)).toMatchObject({
		packages: { a: "1" },
		boot: { "shim-signed": "1.5" },
		files: { a: { path: "pool/a.deb", size: 5 }, "shim-signed": { arch: "amd64" } },
		sizes: { a: 7 },
	});
	expect((await resolveArchive({ ...request, packages: ["a", "b"] }, answering)).packages).toEqual({ a: "2" });
	expect((await resolveArchive({ ...request, refresh: true }, answering)).packages).toEqual({ a: "3" });
	expect(asked).toBe(3);
	// What another keyring vouched for, if only one of the same name, is no answer; without any there is none.
	const other = join(cacheDir, "other");
	expect(await keptResolve({ ...request, keyring: other })).toBeUndefined();
	await writeFile(other, "another key");
	expect(await keptResolve({ ...request, keyring: other })).toBeUndefined();
	expect((await resolveArchive({ ...request, keyring: other }, answering)).packages).toEqual({ a: "4" });
	await writeFile(other, "");
	expect((await keptResolve({ ...request, keyring: other }))?.packages).toEqual({ a: "3" });
	// Held and swept as any build's unfinished work, because mmdebstrap mounts into it.
	expect(works.every((folder) => folder.startsWith(join(cacheDir, "tmp/build-")))).toBe(true);
	expect(await readdir(join(cacheDir, "tmp"))).toEqual([]);
});
