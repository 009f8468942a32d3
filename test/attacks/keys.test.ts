import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, test } from "vitest";
import { loadPublicKey } from "../../bundle/keys.ts";
import { tempDir } from "../support/temp.ts";
import { der } from "./der.ts";
import { compressed, pem, rsaPair, rsaSpki, spkiOf, toBytes } from "./signature-keys.ts";

/** Keys in odd forms, with openssl as the judge. */

let dir: string;
beforeAll(async () => {
	dir = await tempDir();
});

describe("keys", () => {
	const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve }).publicKey;
	const p256 = spkiOf(ec("P-256"));
	const weak = (spki: Buffer) => {
		expect(() => loadPublicKey(pem(spki))).toThrow(expect.objectContaining({ code: "E_KEY_WEAK" }));
	};
	const flipped = (at: number) => {
		const bad = Buffer.from(p256);
		bad[at]! ^= 1;
		return bad;
	};
	const infinity = der(0x30, Buffer.concat([p256.subarray(2, 23), der(0x03, Buffer.alloc(2))]));
	const coordinate = (value: bigint) => Buffer.concat([p256.subarray(0, 27), toBytes(value, 32), p256.subarray(59)]);
	const P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
	const odd = (bits: number) => (1n << BigInt(bits - 1)) | 1n;

	/** openssl cannot use these; nor do we. */
	const REFUSED: Record<string, () => Buffer> = {
		"a point off the curve": () => flipped(40),
		"the point at infinity": () => infinity,
		"a coordinate of p": () => coordinate(P),
		"a coordinate of 2^256 - 1": () => coordinate((1n << 256n) - 1n),
		"a point of 0, 0": () => Buffer.concat([p256.subarray(0, 27), Buffer.alloc(64)]),
		"a point cut short": () => der(0x30, Buffer.concat([p256.subarray(2, 23), der(0x03, p256.subarray(25, -1))])),
		"P-384's name with P-256's point": () => {
			const p384 = spkiOf(ec("P-384"));
			return der(0x30, Buffer.concat([p384.subarray(2, 2 + 2 + p384[3]!), p256.subarray(23)]));
		},
		"secp256k1's name with P-256's point": () => {
			const k1 = spkiOf(ec("secp256k1"));
			return der(0x30, Buffer.concat([k1.subarray(2, 2 + 2 + k1[3]!), p256.subarray(23)]));
		},
		"a curve that nobody knows": () => flipped(22),
		"no key at all": () => Buffer.alloc(0),
		"the key cut short": () => p256.subarray(0, -1),
	};
	test.each(Object.entries(REFUSED))("refused by openssl, and by us: %s", async (_, make) => {
		const spki = make();
		weak(spki);
		await writeFile(join(dir, "key.pem"), pem(spki));
		expect(
			(await execa("openssl", ["pkey", "-pubin", "-pubcheck", "-in", join(dir, "key.pem")], { reject: false }))
				.exitCode,
		).not.toBe(0);
	});

	/** openssl takes these. We do not, for the reason that is given. */
	const STRICTER: Record<string, () => KeyObject | Buffer> = {
		"secp256k1: only the curves of FIPS 186-5 that have a use here": () => ec("secp256k1"),
		"P-521: one curve less to review": () => ec("P-521"),
		"P-224: too weak": () => ec("secp224r1"),
		"a compressed point: one key would have two ids": () => compressed(p256),
		"a compressed point of P-384": () => compressed(spkiOf(ec("P-384"))),
		"explicit curve parameters: they may be anything": () =>
			generateKeyPairSync("ec", { namedCurve: "P-256", paramEncoding: "explicit" }).publicKey,
		"Ed25519: not in every FIPS provider": () => generateKeyPairSync("ed25519").publicKey,
		"RSA-PSS: another padding": () => generateKeyPairSync("rsa-pss", { modulusLength: 3072 }).publicKey,
		"RSA of 1024 bits": () => rsaPair(1024).publicKey,
		"RSA of 2048 bits: 112 bits of strength end in 2030": () => rsaPair(2048).publicKey,
		"RSA of 3071 bits": () => rsaPair(3071).publicKey,
		"RSA of 8193 bits: slow, and a signature would not fit": () => rsaSpki(odd(8193), 65537n),
		"RSA of 16384 bits": () => rsaSpki(odd(16384), 65537n),
		"RSA with e = 1: every message is its own signature": () => rsaSpki(odd(3072), 1n),
		"RSA with e = 3: FIPS 186-5 wants more than 2^16": () => rsaPair(3072, 3).publicKey,
		"RSA with e = 17": () => rsaPair(3072, 17).publicKey,
		"RSA with e = 65535": () => rsaSpki(odd(3072), 65535n),
		"RSA with an even e": () => rsaSpki(odd(3072), 65538n),
		"RSA with e of 2^256 + 1: FIPS 186-5 wants less": () => rsaSpki(odd(3072), (1n << 256n) + 1n),
		"RSA in a second encoding: one key would have two ids": () => {
			const exact = spkiOf(rsaPair(3072).publicKey);
			return Buffer.concat([Buffer.from([0x30, 0x83, 0]), exact.subarray(2)]);
		},
	};
	test.each(Object.entries(STRICTER))("taken by openssl, and not by us: %s", (_, make) => {
		const made = make();
		const spki = Buffer.isBuffer(made) ? made : spkiOf(made);
		createPublicKey({ key: spki, format: "der", type: "spki" });
		weak(spki);
	});

	/** What is allowed, at its limits. */
	const TAKEN: Record<string, () => Buffer> = {
		"P-256": () => p256,
		"P-384": () => spkiOf(ec("P-384")),
		"RSA of 3072 bits": () => spkiOf(rsaPair(3072).publicKey),
		"RSA of 8192 bits": () => rsaSpki(odd(8192), 65537n),
		"RSA with e = 65539": () => rsaSpki(odd(3072), 65539n),
		"RSA with e = 2^256 - 1": () => rsaSpki(odd(3072), (1n << 256n) - 1n),
	};
	test.each(Object.entries(TAKEN))("taken: %s", (_, make) => {
		expect(loadPublicKey(pem(make())).keyId).toMatch(/^[0-9a-f]{64}$/);
	});

	test("a compressed point is the same key to openssl, so this is about its form alone", () => {
		const again = createPublicKey({ key: compressed(p256), format: "der", type: "spki" });
		expect(again.equals(createPublicKey({ key: p256, format: "der", type: "spki" }))).toBe(true);
	});
});
