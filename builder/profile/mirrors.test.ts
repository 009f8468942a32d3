import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { aptSources, findKeyring } from "../archive/sources.ts";
import { withMirrors } from "./mirrors.ts";
import type { Base } from "./schema.ts";

const archive = {
	mirrors: { amd64: "http://a/u", arm64: "http://p/u" },
	pockets: ["-security"],
	keyrings: ["/own.gpg"],
};
const base = { name: "u", title: "U", suite: "s", components: ["main"], archive } as unknown as Base;
const other = { ...base, name: "d", archive: { ...archive, mirrors: {} } } as unknown as Base;
const HEAD = "apiVersion: slipway/v1\nkind: Mirrors\nbases:\n";
let root: string;

beforeEach(async () => {
	root = await mkdtemp(join(tmpdir(), "slipway-mirrors-"));
	vi.stubEnv("MIRRORS", "");
	onTestFinished(async () => {
		vi.unstubAllEnvs();
		await rm(root, { recursive: true });
	});
});

const put = (text: string, name = "mirrors.yaml") => writeFile(join(root, name), HEAD + text);
const withFile = (one: Base) => withMirrors(root, one, ["d", "u"]);

test("each base has its own mirrors and keyring; one that the file does not name stays as it is", async () => {
	expect(await withFile(base)).toBe(base);
	const keyring = join(root, "site.gpg");
	await writeFile(keyring, "");
	await put(`  u:\n    mirror: { amd64: http://m/u }\n    keyring: ${keyring}\n`);
	const u = await withFile(base);
	expect(aptSources(u, "amd64", undefined)).toEqual(["deb http://m/u s main", "deb http://m/u s-security main"]);
	expect(aptSources(u, "arm64", undefined)[0]).toBe("deb http://p/u s main");
	// What the command line says goes over it.
	expect(aptSources(u, "amd64", "http://c/u")[0]).toBe("deb http://c/u s main");
	expect(await findKeyring(u, undefined)).toBe(keyring);
	expect(await withFile(other)).toBe(other);
	await put("  d: { mirror: http://m/d http://m/d-security }\n");
	expect(aptSources(await withFile(other), "arm64", undefined)).toEqual([
		...["deb http://m/d s main", "deb http://m/d s-security main", "deb http://m/d-security s-security main"],
	]);
	await expect(findKeyring(await withFile(other), undefined)).rejects.toMatchObject({ code: "E_KEYRING" });
});

test("MIRRORS= names another file, which must be there then", async () => {
	await put("  u: { mirror: http://here/ }\n");
	await put(
		"  u: { mirror: file:///there, snapshot: 'http://there/{snapshot}', contracts: 'http://127.0.0.1:8/' }\n",
		"there.yaml",
	);
	vi.stubEnv("MIRRORS", join(root, "there.yaml"));
	const { archive } = await withFile(base);
	expect(archive).toMatchObject({ mirrors: { arm64: "file:///there" }, snapshot: "http://there/{snapshot}" });
	vi.stubEnv("MIRRORS", join(root, "gone.yaml"));
	await expect(withFile(base)).rejects.toMatchObject({
		code: "E_USAGE",
		message: expect.stringContaining("gone.yaml"),
	});
});

test.each([
	["  n: { mirror: http://m/ }\n", "E_BASE_NOT_FOUND", 4, /no base `n`/],
	["  u: { mirror: http://m/, keyrin: /k }\n", "E_PROFILE_KEY", 4, /keyrin/],
	["  u:\n    mirror: m/ubuntu\n", "E_PROFILE_VALUE", 5, /mirror/],
	["  u:\n    mirror: http://me:hunter2@m/\n", "E_PROFILE_VALUE", 5, /^(?!.*hunter2).*without a user name or password/],
	["  u:\n    mirror: http://m/\n    keyring: k.gpg\n", "E_PROFILE_VALUE", 6, /absolute path/],
	["  u:\n    mirror: http://m/\n    contracts: http://127.evil.example/\n", "E_PROFILE_VALUE", 6, /https:/],
	["  u:\n    mirror: http://m/\n    contracts: http://127.0.0.1.evil.example/\n", "E_PROFILE_VALUE", 6, /https:/],
	["  u:\n    mirror: http://m/\n    contracts: http://127.0.0.1:8@evil.example/\n", "E_PROFILE_VALUE", 6, /https:/],
	["  u:\n    mirror: http://m/\n    contracts: https://u:hunter2@h/\n", "E_PROFILE_VALUE", 6, /^(?!.*hunter2)/],
] as const)("%j is refused at its line", async (text, code, line, message) => {
	await put(text);
	await expect(withFile(base)).rejects.toMatchObject({ code, at: { line }, message: expect.stringMatching(message) });
});
