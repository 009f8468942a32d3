import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { folderWith } from "../../../test/support/packs.ts";
import type { Base } from "../../profile/schema.ts";
import type { Run } from "../../tools/run.ts";
import { type FetchRequest, fetchPackages } from "./archive.ts";

const archive = { mirrors: { amd64: "http://a/" }, pockets: [], keyrings: [] };
const base = { name: "b", title: "B", suite: "s", components: ["main"], archive, fips: null } as unknown as Base;

test("packages are fetched once for each keyring that vouches for them, and for each set of digests", async () => {
	const cacheDir = await folderWith({ keyring: "one key" });
	const keyring = join(cacheDir, "keyring");
	let asked = 0;
	const archiveOf: Run = async (file, _args, options) => {
		if (file === "dpkg-deb") return { stdout: "Package: a\nVersion: 1\nArchitecture: all\n", stderr: "", exitCode: 0 };
		asked++;
		const work = options!.env!.TMPDIR!;
		await mkdir(join(work, "archives"));
		await mkdir(join(work, "lists"));
		await writeFile(join(work, "archives/a.deb"), "a package");
		await writeFile(join(work, "lists/m_dists_s_InRelease"), "Date: Sat, 06 Sep 2025 10:00:00 UTC\n");
		return { stdout: "", stderr: "", exitCode: 0 };
	};
	const request: FetchRequest = {
		...{ base, arch: "amd64", packages: ["a"], mirror: undefined, keyring, cacheDir, refresh: false },
	};
	const fetch = async (more: Partial<FetchRequest> = {}) =>
		(await fetchPackages(archiveOf, { ...request, ...more })).kept;
	expect(await fetch()).toBe(false);
	expect(await fetch()).toBe(true);
	await writeFile(keyring, "another key");
	expect(await fetch()).toBe(false);
	const pinned = (digest: string) => {
		const file = { arch: "all", size: 9, sha256: digest.repeat(64), path: "pool/a.deb" };
		return { pinned: { inRelease: [], packages: { a: "1" }, boot: {}, files: { a: file }, resolvedAt: "" } };
	};
	expect(await fetch(pinned("a"))).toBe(false);
	expect(await fetch(pinned("a"))).toBe(true);
	expect(await fetch(pinned("b"))).toBe(false);
	expect(asked).toBe(4);
});
