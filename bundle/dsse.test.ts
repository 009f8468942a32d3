import { describe, expect, test } from "vitest";
import { testSigner, trustOf } from "../test/support/bundles.ts";
import { type Envelope, pae, parseEnvelope, type Role, signEnvelope, verifyEnvelope } from "./dsse.ts";
import type { ErrorCode } from "./errors.ts";

const TYPE = "application/vnd.example+json";
const payload = Buffer.from('{"a":1}');
const one = testSigner();
const two = testSigner({ curve: "P-384", development: true });
const rsa = testSigner({ rsaBits: 3072 });

async function envelopeOf(...signers: (typeof one)[]): Promise<Envelope> {
	const all = await Promise.all(signers.map((s) => signEnvelope(TYPE, payload, s)));
	return { ...all[0]!, signatures: all.flatMap((e) => e.signatures) };
}
const refused = (code: ErrorCode, envelope: Envelope, role: Role, bytes = payload, type = TYPE) =>
	expect(() => verifyEnvelope(envelope, bytes, type, role)).toThrow(expect.objectContaining({ code }));

describe("DSSE", () => {
	test("the encoding that is signed is that of the specification", () => {
		expect(pae("http://example.com/HelloWorld", Buffer.from("hello world")).toString()).toBe(
			"DSSEv1 29 http://example.com/HelloWorld 11 hello world",
		);
		expect(pae("é", Buffer.from([0xff]))).toEqual(Buffer.from("445353457631203220c3a9203120ff", "hex"));
	});

	test("a signed document verifies, whatever the algorithm", async () => {
		const role = trustOf([one, two, rsa], { threshold: 3 }).release;
		const result = verifyEnvelope(await envelopeOf(one, two, rsa), payload, TYPE, role);
		expect(result).toEqual({ keys: [one.keyId, two.keyId, rsa.keyId], development: true });
		expect(verifyEnvelope(await envelopeOf(one), payload, TYPE, trustOf(one).release).development).toBe(false);
	});

	test("another type, payload or key is refused", async () => {
		const envelope = await envelopeOf(one);
		const role = trustOf(one).release;
		refused("E_SIG_CONTEXT", envelope, role, payload, "application/vnd.other+json");
		refused(
			"E_SIG_INVALID",
			{ ...envelope, payloadType: "application/vnd.other+json" },
			role,
			payload,
			"application/vnd.other+json",
		);
		refused("E_SIG_INVALID", envelope, role, Buffer.from('{"a":2}'));
		refused("E_KEY_UNKNOWN", envelope, trustOf(two).release);
	});

	test("a signature under another trusted key's id is refused: the id does not choose the algorithm", async () => {
		const envelope = await envelopeOf(one);
		for (const other of [two, rsa]) {
			const forged = { ...envelope, signatures: [{ ...envelope.signatures[0]!, keyid: other.keyId }] };
			refused("E_SIG_INVALID", forged, trustOf([one, two, rsa]).release);
		}
	});

	test("one key counts once toward a threshold", async () => {
		const role = trustOf([one, two], { threshold: 2 }).release;
		refused("E_THRESHOLD", await envelopeOf(one, one), role);
		refused("E_THRESHOLD", await envelopeOf(one, rsa), role);
		expect(verifyEnvelope(await envelopeOf(one, rsa, two), payload, TYPE, role).keys).toHaveLength(2);
	});

	test("a revoked key never counts", async () => {
		const role = trustOf([one, two], { denyKeys: new Set([one.keyId]) }).release;
		refused("E_KEY_REVOKED", await envelopeOf(one), role);
		expect(verifyEnvelope(await envelopeOf(one, two), payload, TYPE, role).keys).toEqual([two.keyId]);
	});

	test("one bad signature by a trusted key refuses the whole", async () => {
		const envelope = await envelopeOf(one, two);
		envelope.signatures[1]!.sig = envelope.signatures[0]!.sig;
		refused("E_SIG_INVALID", envelope, trustOf([one, two]).release);
	});

	test("16 signatures are taken, 17 are not", async () => {
		const role = trustOf(one).release;
		const many = (n: number) => envelopeOf(...Array.from({ length: n }, () => one));
		expect(verifyEnvelope(await many(16), payload, TYPE, role).keys).toEqual([one.keyId]);
		refused("E_LIMIT", await many(17), role);
		const bytes = Buffer.from(JSON.stringify(await many(17)));
		expect(() => parseEnvelope(bytes)).toThrow(expect.objectContaining({ code: "E_LIMIT" }));
	});

	test("an envelope is strict JSON with canonical base64 and nothing else", async () => {
		const envelope = await envelopeOf(one);
		const parse = (value: unknown) => parseEnvelope(Buffer.from(JSON.stringify(value)));
		expect(parse(envelope).payload).toEqual(payload);
		const bad: [ErrorCode, unknown][] = [
			["E_SIG_INVALID", { ...envelope, extra: 1 }],
			["E_SIG_INVALID", { ...envelope, payload: `${envelope.payload}\n` }],
			["E_SIG_INVALID", { ...envelope, payload: "e31=" }], // unused bits that are not zero
			["E_SIG_INVALID", { ...envelope, payload: undefined }],
			["E_SIG_INVALID", { ...envelope, signatures: [{ keyid: "x", sig: "AA==" }] }],
			["E_UNSIGNED", { ...envelope, signatures: [] }],
		];
		for (const [code, value] of bad) expect(() => parse(value)).toThrow(expect.objectContaining({ code }));
		expect(() => parseEnvelope(Buffer.from('{"payload":"","payload":""}'))).toThrow(
			expect.objectContaining({ code: "E_JSON_STRICT" }),
		);
	});
});
