import { createPublicKey, createSign, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSignatureForm, loadPublicKey, type PublicKey, verifySignature } from "./keys.ts";

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const data = Buffer.from("the data");

function pem(der: Buffer): string {
	return `-----BEGIN PUBLIC KEY-----\n${der.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END PUBLIC KEY-----\n`;
}
const spki = (key: KeyObject) => key.export({ format: "der", type: "spki" });
const load = (key: KeyObject): PublicKey => loadPublicKey(pem(spki(key)));
const weak = (text: string) =>
	expect(() => loadPublicKey(text)).toThrow(expect.objectContaining({ code: "E_KEY_WEAK" }));

const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const key256 = load(p256.publicKey);

describe("loadPublicKey", () => {
	test.each(["P-256", "P-384"])("takes %s and gives SHA-256 of the SPKI as its id", (namedCurve) => {
		const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve });
		const key = load(publicKey);
		expect(key.keyId).toMatch(/^[0-9a-f]{64}$/);
		expect(verifySignature(key, data, sign("sha256", data, privateKey))).toBe(true);
	});

	test("takes RSA-3072, with text in front", () => {
		const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 3072 });
		const key = loadPublicKey(`Some text\n${pem(spki(publicKey))}`);
		const signature = sign("sha256", data, privateKey);
		expect(verifySignature(key, data, signature)).toBe(true);
		expect(verifySignature(key, data, signature.subarray(1))).toBe(false);
		expect(verifySignature(key, data, Buffer.concat([Buffer.alloc(1), signature]))).toBe(false);
	});

	test("refuses other curves and kinds", () => {
		weak(pem(spki(generateKeyPairSync("ec", { namedCurve: "P-521" }).publicKey)));
		weak(pem(spki(generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey)));
		weak(pem(spki(generateKeyPairSync("ed25519").publicKey)));
		weak(pem(spki(generateKeyPairSync("rsa-pss", { modulusLength: 3072 }).publicKey)));
	});

	test("refuses RSA that is too short, too long, or has a weak exponent", () => {
		weak(pem(spki(generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey)));
		weak(pem(spki(generateKeyPairSync("rsa", { modulusLength: 3071 }).publicKey)));
		weak(pem(spki(generateKeyPairSync("rsa", { modulusLength: 3072, publicExponent: 3 }).publicKey)));
		weak(pem(rsaSpki((1n << 8199n) | 1n, 65537n)));
		weak(pem(rsaSpki((1n << 3076n) | 1n, 65537n))); // no whole bytes
		weak(pem(rsaSpki((1n << 3071n) | 1n, 1n)));
		weak(pem(rsaSpki((1n << 3071n) | 1n, 65538n)));
		expect(loadPublicKey(pem(rsaSpki((1n << 8191n) | 1n, 65537n))).algorithm).toBe("rsa");
	});

	test("refuses a second encoding of the same RSA key", () => {
		const exact = spki(generateKeyPairSync("rsa", { modulusLength: 3072 }).publicKey);
		loadPublicKey(pem(exact));
		const longer = Buffer.concat([Buffer.from([0x30, 0x83, 0]), exact.subarray(2)]); // a length in three bytes, not two
		expect(createPublicKey({ key: longer, format: "der", type: "spki" }).asymmetricKeyType).toBe("rsa");
		weak(pem(longer));
	});

	test("refuses a compressed point, explicit curve parameters, and a point off the curve", () => {
		const der = spki(p256.publicKey);
		const compressed = Buffer.from(der.subarray(0, 27 + 32));
		compressed[1] = der[1]! - 32;
		compressed[24] = 34;
		compressed[26] = 2 + (der.at(-1)! & 1);
		weak(pem(compressed));
		const explicit = generateKeyPairSync("ec", { namedCurve: "P-256", paramEncoding: "explicit" }).publicKey;
		weak(pem(spki(explicit)));
		const off = Buffer.from(der);
		off[40]! ^= 1;
		weak(pem(off));
	});

	test("refuses bytes behind the key, a private key, a certificate's label, two keys, and none", () => {
		weak(pem(Buffer.concat([spki(p256.publicKey), Buffer.from([0])])));
		weak(p256.privateKey.export({ format: "pem", type: "pkcs8" }) as string);
		weak(pem(spki(p256.publicKey)).replaceAll("PUBLIC KEY", "CERTIFICATE"));
		weak(pem(spki(p256.publicKey)).repeat(2));
		weak(`${pem(spki(p256.publicKey))}${p256.privateKey.export({ format: "pem", type: "pkcs8" })}`);
		weak("");
	});
});

/** DER of an RSA public key that nobody has the private half of. */
function rsaSpki(modulus: bigint, exponent: bigint): Buffer {
	const integer = (v: bigint) => {
		const hex = v.toString(16);
		const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex");
		return der(0x02, bytes[0]! >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes);
	};
	const algorithm = Buffer.from("300d06092a864886f70d0101010500", "hex");
	const rsa = der(0x30, Buffer.concat([integer(modulus), integer(exponent)]));
	return der(0x30, Buffer.concat([algorithm, der(0x03, Buffer.concat([Buffer.alloc(1), rsa]))]));
}

function der(tag: number, content: Buffer): Buffer {
	const length = content.length;
	if (length < 128) return Buffer.concat([Buffer.from([tag, length]), content]);
	const bytes = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
	return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}

describe("verifySignature: only strict DER", () => {
	const good = createSign("sha256").update(data).sign(p256.privateKey);
	const hex = (v: bigint) => {
		const text = v.toString(16);
		const bytes = Buffer.from(text.padStart(text.length + (text.length % 2), "0"), "hex");
		return bytes[0]! >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes;
	};
	const pair = (r: Buffer, s: Buffer) => der(0x30, Buffer.concat([der(0x02, r), der(0x02, s)]));
	const rLength = good[3]!;
	const r = good.subarray(4, 4 + rLength);
	const s = good.subarray(6 + rLength);
	// The form is checked by itself too: OpenSSL refuses most of these today, and must not be the only one that does.
	const refused = (signature: Buffer, form = false) => {
		expect(isSignatureForm(key256, signature)).toBe(form);
		expect(verifySignature(key256, data, signature)).toBe(false);
	};

	test("the good one, put together again, is valid", () => {
		expect(pair(r, s)).toEqual(good);
		expect(verifySignature(key256, data, good)).toBe(true);
		expect(verifySignature(key256, Buffer.from("other"), good)).toBe(false);
	});

	test.each([0n, P256_ORDER, P256_ORDER + 1n])("r or s = %s", (value) => {
		refused(pair(hex(value), s));
		refused(pair(r, hex(value)));
	});

	test("r or s = n - 1 is of the right form, and not valid here", () => {
		refused(pair(hex(P256_ORDER - 1n), s), true);
		refused(pair(r, hex(P256_ORDER - 1n)), true);
	});

	test("r + n, which some verifiers reduce", () => {
		refused(pair(hex(BigInt(`0x${r.toString("hex")}`) + P256_ORDER), s));
	});

	test("negative integers", () => {
		refused(pair(Buffer.concat([Buffer.from([0x80]), r.subarray(-31)]), s));
		refused(pair(r, Buffer.from([0xff])));
	});

	test("integers that are not minimal, or empty", () => {
		refused(pair(Buffer.concat([Buffer.alloc(1), r[0] === 0 ? r : Buffer.concat([Buffer.alloc(1), r])]), s));
		refused(pair(Buffer.alloc(0), s));
	});

	test("BER: long-form and indefinite lengths", () => {
		refused(Buffer.concat([Buffer.from([0x30, 0x81]), good.subarray(1)]));
		refused(Buffer.concat([Buffer.from([0x30, 0x80]), good.subarray(2), Buffer.alloc(2)]));
		refused(der(0x30, Buffer.concat([Buffer.from([0x02, 0x81, r.length]), r, der(0x02, s)])));
	});

	test("trailing bytes, inside and behind the sequence", () => {
		refused(Buffer.concat([good, Buffer.alloc(1)]));
		refused(der(0x30, Buffer.concat([der(0x02, r), der(0x02, s), Buffer.from([0x05, 0x00])])));
	});

	test("another tag, an empty signature, and another algorithm's", () => {
		refused(Buffer.concat([Buffer.from([0x31]), good.subarray(1)]));
		refused(Buffer.alloc(0));
		const rsa = generateKeyPairSync("rsa", { modulusLength: 3072 });
		refused(sign("sha256", data, rsa.privateKey));
		expect(verifySignature(load(rsa.publicKey), data, good)).toBe(false);
		const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
		refused(sign("sha256", data, p384.privateKey));
		refused(sign("sha384", data, p256.privateKey), true);
	});

	test("every cut and every flipped bit", () => {
		for (let i = 0; i < good.length; i++) {
			refused(good.subarray(0, i));
			for (let bit = 0; bit < 8; bit++) {
				const bad = Buffer.from(good);
				bad[i]! ^= 1 << bit;
				expect(verifySignature(key256, data, bad)).toBe(false);
			}
		}
	});

	test("arbitrary bytes never throw", () => {
		fc.assert(fc.property(fc.uint8Array({ maxLength: 140 }), (bytes) => !verifySignature(key256, data, bytes)));
	});
});
