import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testSigner } from "../test/support/bundles.ts";
import { loadTrust } from "./trust.ts";

let dir: string;
const vendor = testSigner();
const root = testSigner({ curve: "P-384" });
const development = testSigner({ development: true });
beforeEach(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-trust-"));
	await writeFile(join(dir, "vendor.pem"), vendor.publicKeyPem);
	await writeFile(join(dir, "root.pem"), root.publicKeyPem);
	await writeFile(join(dir, "dev.pem"), development.publicKeyPem);
});
afterEach(() => rm(dir, { recursive: true }));

const store = (value: unknown) =>
	writeFile(join(dir, "trust.json"), typeof value === "string" ? value : JSON.stringify(value));
const release = (...files: string[]) => ({ threshold: 1, keys: files.map((file) => ({ file })) });
const refused = (code: string, path = dir) => expect(loadTrust(path)).rejects.toMatchObject({ code });

describe("loadTrust", () => {
	test("one PEM file is one release key; its text may call it a development key", async () => {
		const one = await loadTrust(join(dir, "vendor.pem"));
		expect([...one.release.keys]).toMatchObject([[vendor.keyId, { development: false }]]);
		expect(one).not.toHaveProperty("root");
		const dev = await loadTrust(join(dir, "dev.pem"));
		expect(dev.release.keys.get(development.keyId)?.development).toBe(true);
	});

	test("a folder: roles, thresholds, denylist, development keys by file or by trust.json", async () => {
		const deny = { keys: ["0".repeat(64)], indexes: ["1".repeat(64)] };
		await store({
			format: 1,
			release: { threshold: 2, keys: [{ file: "vendor.pem", development: true }, { file: "dev.pem" }] },
			root: release("root.pem"),
			deny,
		});
		const trust = await loadTrust(dir);
		expect(trust.release).toMatchObject({
			threshold: 2,
			denyKeys: new Set(deny.keys),
			denyIndexes: new Set(deny.indexes),
		});
		expect([...trust.release.keys.values()].map((k) => k.development)).toEqual([true, true]);
		expect([...trust.root!.keys.keys()]).toEqual([root.keyId]);
		expect(trust.root!.denyKeys).toEqual(trust.release.denyKeys);
	});

	test("what cannot be right is refused", async () => {
		await refused("E_CONFIG"); // no trust.json
		await refused("E_CONFIG", join(dir, "nothing"));
		const bad: [string, unknown][] = [
			["E_CONFIG", { format: 2, release: release("vendor.pem") }],
			["E_CONFIG", { format: 1, release: release("vendor.pem"), more: 1 }],
			["E_CONFIG", { format: 1, release: release() }],
			["E_CONFIG", { format: 1, release: release("../vendor.pem") }],
			["E_CONFIG", { format: 1, release: release("missing.pem") }],
			["E_CONFIG", { format: 1, release: release("vendor.pem", "vendor.pem") }],
			["E_CONFIG", { format: 1, release: { ...release("vendor.pem"), threshold: 2 } }],
			["E_CONFIG", { format: 1, release: release("vendor.pem"), deny: { keys: ["x"] } }],
			["E_JSON_STRICT", '{"format":1,"format":1}'],
		];
		for (const [code, value] of bad) {
			await store(value);
			await refused(code);
		}
		await writeFile(join(dir, "weak.pem"), "hello");
		await store({ format: 1, release: release("weak.pem") });
		await refused("E_KEY_WEAK");
	});
});
