import { describe, expect, test } from "vitest";
import { testSigner, trustOf } from "../test/support/bundles.ts";
import { sha256Hex } from "./digest.ts";
import { signEnvelope } from "./dsse.ts";
import { type ContentRelease, type IsoRelease, PAYLOAD_TYPE } from "./index-schema.ts";
import { makeIsoRelease, makeRelease, readIsoRelease, readRelease } from "./release.ts";

const signer = testSigner({ development: true });
const role = trustOf(signer).release;
const bundle = {
	name: "core",
	version: "1.0.0",
	arch: "amd64",
	fips: true,
	indexDigest: "a".repeat(64),
	required: true,
} as const;
const content: ContentRelease = {
	format: 1,
	critical: [],
	product: "slipway",
	version: "1.0.0",
	sequence: 7,
	bundles: [bundle],
	roots: ["b".repeat(64)],
	releasedAt: "2026-01-02T03:04:05Z",
	audience: "everyone",
	annotations: {},
};
const iso: IsoRelease = {
	format: 1,
	critical: [],
	product: "slipway",
	version: "1.0.0",
	arch: "amd64",
	fips: true,
	buildId: "c".repeat(64),
	rootId: "d".repeat(64),
	files: [{ path: "/live/rootfs.squashfs", size: 1, sha256: "e".repeat(64) }],
	contentRelease: "f".repeat(64),
	annotations: {},
};
const signed = async (value: unknown, type: string = PAYLOAD_TYPE.contentRelease) =>
	Buffer.from(JSON.stringify(await signEnvelope(type, Buffer.from(JSON.stringify(value)), signer)));
const refused = (code: string, bytes: Buffer, keys = role) =>
	expect(() => readRelease(bytes, keys)).toThrow(expect.objectContaining({ code }));

describe("releases", () => {
	test("come back as they were signed", async () => {
		const bytes = await makeRelease(content, signer);
		const digest = sha256Hex(JSON.stringify(content));
		expect(readRelease(bytes, role)).toEqual({ release: content, digest, development: true, keys: [signer.keyId] });
		expect(await makeRelease(content, signer)).toEqual(bytes);
		expect(readIsoRelease(await makeIsoRelease(iso, signer), role).release).toEqual(iso);
	});

	test("one kind does not pass for another", async () => {
		refused("E_SIG_CONTEXT", await makeIsoRelease(iso, signer));
		const content1 = await makeRelease(content, signer);
		expect(() => readIsoRelease(content1, role)).toThrow(expect.objectContaining({ code: "E_SIG_CONTEXT" }));
		refused("E_RELEASE", await signed(iso)); // even signed as one
	});

	test("nothing unsigned, changed, foreign or denied is taken", async () => {
		const bytes = await makeRelease(content, signer);
		const envelope = JSON.parse(bytes.toString()) as { payload: string; signatures: unknown[] };
		const other = Buffer.from(JSON.stringify({ ...content, sequence: 8 })).toString("base64");
		refused("E_SIG_INVALID", Buffer.from(JSON.stringify({ ...envelope, payload: other })));
		refused("E_UNSIGNED", Buffer.from(JSON.stringify({ ...envelope, signatures: [] })));
		refused("E_KEY_UNKNOWN", bytes, trustOf(testSigner()).release);
		refused("E_DENIED", bytes, { ...role, denyIndexes: new Set([sha256Hex(JSON.stringify(content))]) });
		refused("E_LIMIT", Buffer.alloc(4 * 2 ** 20 + 1, " "));
		refused("E_JSON_STRICT", Buffer.from("x"));
	});

	test("a signed release must still be a valid one", async () => {
		refused("E_FORMAT", await signed({ ...content, format: 2, more: 1 }));
		refused("E_FORMAT", await signed({ ...content, critical: ["x"] }));
		refused("E_RELEASE", await signed({ ...content, more: 1 }));
		refused("E_RELEASE", await signed({ ...content, bundles: [] }));
		refused("E_TEXT", await signed({ ...content, audience: "\u001b[2J" }));
		refused("E_RELEASE", await signed({ ...content, bundles: [bundle, { ...bundle, name: "other" }] }));
		refused("E_RELEASE", await signed({ ...content, bundles: [bundle, { ...bundle, indexDigest: "9".repeat(64) }] }));
		await expect(makeRelease({ ...content, bundles: [bundle, bundle] }, signer)).rejects.toMatchObject({
			code: "E_RELEASE",
		});
		await expect(makeRelease({ ...content, sequence: 2 ** 31 }, signer)).rejects.toMatchObject({ code: "E_RELEASE" });
	});
});
