import { rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { beforeAll, beforeEach, expect, test } from "vitest";
import { makeTestBundle, type TestBundle, type TestSigner, testSigner, trustOf } from "../test/support/bundles.ts";
import { tempDir } from "../test/support/temp.ts";
import { type DetachedEnvelope, signEnvelope } from "./dsse.ts";
import { furtherName } from "./further-signatures.ts";
import { PAYLOAD_TYPE } from "./index-schema.ts";
import { openBundle } from "./reader.ts";
import { openAuthentic, verifyBundle } from "./verify.ts";

const [one, two, three] = [testSigner(), testSigner({ curve: "P-384" }), testSigner()] as const;
const both = trustOf([one, two], { threshold: 2 });
const code = (expected: string) => expect.objectContaining({ code: expected });

let bundle: TestBundle;
let payload: Buffer;
let file: string;
beforeAll(async () => {
	bundle = await makeTestBundle(await tempDir(), { signer: one });
	file = furtherName(bundle.path);
	const open = await openBundle(bundle.path);
	await open.close();
	({ payload } = open);
});
beforeEach(async () => {
	await rm(file, { force: true });
	await write([two]);
});

async function write(by: readonly TestSigner[], change: (envelope: DetachedEnvelope) => void = () => {}) {
	const all = await Promise.all(by.map((signer) => signEnvelope(PAYLOAD_TYPE.bundleIndex, payload, signer)));
	const envelope = { payloadType: PAYLOAD_TYPE.bundleIndex, signatures: all.flatMap((e) => e.signatures) };
	change(envelope);
	await writeFile(file, JSON.stringify(envelope));
}
const open = async (trust = both) => {
	const opened = await openAuthentic(bundle.path, trust);
	await opened.close();
	return opened;
};

test("a threshold of two is reached with the second signature beside the bundle, and kept with its envelope", async () => {
	expect(file).toBe(bundle.path.replace(/\.zst$/, ".sigs.json"));
	expect((await verifyBundle(bundle.path, both)).keys).toEqual([one.keyId, two.keyId]);
	expect((await open()).envelope.signatures.map((s) => s.keyid)).toEqual([one.keyId, two.keyId]);
});

test.each<[string, string, () => Promise<unknown>]>([
	["E_THRESHOLD", "the first key again", () => write([one])],
	["E_THRESHOLD", "a key that nobody trusts", () => write([three])],
	[
		"E_SIG_INVALID",
		"a signature under another key's id",
		() => write([three], (e) => (e.signatures[0]!.keyid = two.keyId)),
	],
	["E_SIG_CONTEXT", "another kind of document", () => write([two], (e) => (e.payloadType = PAYLOAD_TYPE.statement))],
	["E_UNSIGNED", "no signature at all", () => write([])],
	[
		"E_LIMIT",
		"17 signatures with the first one",
		() => write([two, ...Array.from({ length: 15 }, () => testSigner())]),
	],
	["E_LIMIT", "more than 64 KiB", () => truncate(file, 64 * 1024 + 1)],
	["E_JSON_STRICT", "what is no JSON", () => writeFile(file, "x")],
	[
		"E_SIG_INVALID",
		"an envelope with a payload of its own",
		() => write([two], (e) => Object.assign(e, { payload: "" })),
	],
	["E_IO", "a link", () => rename(file, `${file}.x`).then(() => symlink(`${file}.x`, file))],
])("%s: %s", async (expected, _, damage) => {
	await damage();
	await expect(open()).rejects.toEqual(code(expected));
});

test("16 signatures are taken, and what stands in both places counts once", async () => {
	await write([one, two, ...Array.from({ length: 14 }, () => testSigner())]);
	expect((await open()).keys).toEqual([one.keyId, two.keyId]);
});
