import { appendFile, copyFile, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { furtherName } from "../../bundle/further-signatures.ts";
import { PAYLOAD_TYPE } from "../../bundle/index-schema.ts";
import { signatureName } from "../../bundle/signature-file.ts";
import type { TestSigner } from "../../test/support/bundles.ts";
import { attacks, inserted, REF, root, smuggle, stranger, vendor } from "../../test/support/trust-site.ts";

/** TUF's ten attacks by name: what is delivered. */

attacks("arbitrary software installation", [
	["nothing is wrong", [], (s) => s.insert()],
	["everything by a stranger", ["E_KEY_UNKNOWN"], (s) => s.insert(undefined, stranger)],
	[
		"a stranger's bundle in the vendor's release",
		["E_KEY_UNKNOWN"],
		async (s) => (await s.insert(undefined, stranger)).writeRelease({}, vendor),
	],
	[
		"a stranger's release of the vendor's bundles",
		["E_KEY_UNKNOWN"],
		async (s) => (await s.insert()).writeRelease({}, stranger),
	],
	["a release by the root key", ["E_KEY_UNKNOWN"], async (s) => (await s.insert()).writeRelease({}, root)],
	[
		"a release that was changed",
		["E_SIG_INVALID"],
		async (s) => {
			await s.insert();
			await s.bend(
				(e) =>
					(e.payload = Buffer.from(Buffer.from(e.payload, "base64").toString().replace("tests", "world")).toString(
						"base64",
					)),
			);
		},
	],
	["a release without a signature", ["E_UNSIGNED"], inserted((s) => s.bend((e) => (e.signatures = [])))],
	[
		"another kind of document",
		["E_SIG_CONTEXT"],
		inserted((s) => s.bend((e) => (e.payloadType = PAYLOAD_TYPE.isoRelease))),
	],
	[
		"a statement in the release's place",
		["E_SIG_CONTEXT"],
		async (s) => {
			await s.insert();
			await writeFile(s.releaseFile, (await s.chain.make("deny", { keys: ["a".repeat(64)] }, [vendor])).bytes);
		},
	],
	[
		"a bundle without its signature file",
		["E_UNSIGNED"],
		async (s) => rm(signatureName((await s.insert()).bundles[0]!.path)),
	],
]);

attacks("endless data", [
	["a release beyond its limit", ["E_LIMIT"], inserted((s) => truncate(s.releaseFile, 2 ** 40))],
	[
		"a statement beyond its limit",
		["E_LIMIT"],
		async (s) => {
			await s.insert();
			await s.chain.add("deny", { keys: ["a".repeat(64)] });
			await s.say();
			const folder = join(s.medium.content, "statements");
			await truncate(join(folder, (await readdir(folder))[0]!), 2 ** 40);
		},
	],
	[
		"a signature file beyond its limit",
		["E_SIG_INVALID"],
		async (s) => truncate(signatureName((await s.insert()).bundles[0]!.path), 2 ** 40),
	],
	[
		"further signatures beyond their limit",
		["E_LIMIT"],
		async (s) => {
			const file = furtherName((await s.insert()).bundles[0]!.path);
			await writeFile(file, "");
			await truncate(file, 2 ** 40);
		},
	],
	[
		"17 signatures under a release",
		["E_LIMIT"],
		inserted((s) => s.signRelease({}, ...Array<TestSigner>(17).fill(vendor))),
	],
	[
		"a bundle longer than its index says",
		["E_TRAILING"],
		async (s) => appendFile((await s.insert()).bundles[0]!.path, "x"),
	],
]);

attacks("extraneous dependencies", [
	["a signed bundle that the release does not name", ["E_RELEASE_SET"], inserted((s) => smuggle(s, "extra"))],
	[
		"a bundle that requires one which is not there",
		["E_RELEASE_SET"],
		(s) => s.insert([{ refs: [REF], input: { name: "core", requires: ["a".repeat(64)] } }]),
	],
	[
		"the same bundle twice",
		["E_RELEASE_SET"],
		async (s) => {
			const { path } = (await s.insert()).bundles[0]!;
			await copyFile(path, path.replace(".zst", "-copy.zst"));
			await copyFile(signatureName(path), signatureName(path).replace(".sig", "-copy.sig"));
		},
	],
]);

attacks("fast-forward", [
	["a sequence beyond the range", ["E_RELEASE"], inserted((s) => s.signRelease({ sequence: 2 ** 31 }, vendor))],
	["a sequence that is no number", ["E_RELEASE"], inserted((s) => s.signRelease({ sequence: "9" }, vendor))],
	[
		"the highest sequence, and then the next release",
		["E_ROLLBACK"],
		async (s) => {
			await (await s.insert()).writeRelease({ sequence: 2 ** 31 - 1 });
			expect(await s.load()).toEqual([]);
			await s.insert();
		},
	],
	[
		"the highest sequence, and a floor reset with the next release",
		[],
		async (s) => {
			await (await s.insert()).writeRelease({ sequence: 2 ** 31 - 1 });
			expect(await s.load()).toEqual([]);
			await s.insert();
			await s.chain.add("floor-reset", { products: [{ product: "slipway", sequence: 1 }] });
			await s.say();
		},
	],
]);

attacks("indefinite freeze", [
	[
		"a newer release that is refused leaves no floor behind",
		[],
		async (s) => {
			const good = await s.insert();
			expect(await s.load()).toEqual([]);
			await s.insert([{ refs: [REF], input: { name: "core", arch: process.arch === "arm64" ? "amd64" : "arm64" } }]);
			expect(await s.load()).toEqual(["E_TARGET"]);
			expect(await readFile(join(s.dir, "state/floors.json"), "utf8")).not.toContain(s.medium.bundles[0]!.indexDigest);
			s.medium = good;
		},
	],
	["the same release for ever is what it is, without a clock", [], inserted((s) => s.load())],
]);
