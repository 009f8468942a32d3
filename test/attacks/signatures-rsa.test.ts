import { constants, generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, test } from "vitest";
import { loadPublicKey, verifySignature } from "../../bundle/keys.ts";
import { der } from "./der.ts";
import { hash, judge, message } from "./judge.ts";
import { pem, rawRsa, rsaNumbers, rsaPair, spkiOf, toBytes } from "./signature-keys.ts";

/** RSA signatures in odd forms, as in signatures-ecdsa.test.ts. */

describe("RSA, PKCS #1 v1.5 with SHA-256", () => {
	const { publicKey, privateKey } = rsaPair(3072);
	const key = pem(spkiOf(publicKey));
	const numbers = rsaNumbers(privateKey);
	const good = sign("sha256", message, privateKey);

	const OID = {
		sha1: "2b0e03021a",
		sha256: "608648016503040201",
		sha384: "608648016503040202",
		sha512: "608648016503040203",
	};
	const NULL = Buffer.from([0x05, 0]);
	const oid = (name: keyof typeof OID) => der(0x06, Buffer.from(OID[name], "hex"));
	const info = (digest: Buffer, name: keyof typeof OID = "sha256", parameters: Buffer = NULL) =>
		der(0x30, Buffer.concat([der(0x30, Buffer.concat([oid(name), parameters])), der(0x04, digest)]));
	/** A padded message as long as the modulus: 00 type FF … FF 00 content, then what is left as `rest`. */
	const padded = (
		content: Buffer,
		{ type = 1, fill = 0xff, ff = 384 - 3 - content.length, end = 0, lead = 0 } = {},
	) => {
		const head = Buffer.concat([Buffer.from([lead, type]), Buffer.alloc(ff, fill), Buffer.from([end]), content]);
		return Buffer.concat([head, Buffer.alloc(Math.max(0, 384 - head.length), 0x5a)]).subarray(0, 384);
	};
	const right = info(hash("sha256"));

	test("the good one, and the same put together by hand", async () => {
		await judge("as signed", key, good, true);
		expect(rawRsa(numbers, padded(right))).toEqual(good);
	});

	/** What is signed; the signatures themselves are right for it. */
	const FORMS: Record<string, Buffer> = {
		"garbage behind the digest, padding of 8 (Bleichenbacher 2006)": padded(right, { ff: 8 }),
		"garbage behind the digest, padding of 100": padded(right, { ff: 100 }),
		"garbage behind the digest, no padding": padded(right, { ff: 0 }),
		"one byte of garbage": padded(Buffer.concat([right, Buffer.alloc(1)])),
		"garbage in the algorithm's parameters": padded(info(hash("sha256"), "sha256", der(0x04, Buffer.alloc(150, 0x41)))),
		"garbage in the inner sequence": padded(
			der(
				0x30,
				Buffer.concat([
					der(0x30, Buffer.concat([oid("sha256"), NULL, der(0x04, Buffer.alloc(40))])),
					der(0x04, hash("sha256")),
				]),
			),
		),
		"garbage in the outer sequence": padded(
			der(
				0x30,
				Buffer.concat([der(0x30, Buffer.concat([oid("sha256"), NULL])), der(0x04, hash("sha256")), Buffer.alloc(9)]),
			),
		),
		"no NULL": padded(info(hash("sha256"), "sha256", Buffer.alloc(0))),
		"no DigestInfo": padded(hash("sha256")),
		"lengths in long form": padded(Buffer.concat([Buffer.from([0x30, 0x81, right[1]!]), right.subarray(2)])),
		"an indefinite length": padded(Buffer.concat([Buffer.from([0x30, 0x80]), right.subarray(2), Buffer.alloc(2)])),
		"SHA-1's name": padded(info(hash("sha256"), "sha1")),
		"SHA-384's name": padded(info(hash("sha256"), "sha384")),
		"SHA-512's name": padded(info(hash("sha256"), "sha512")),
		"SHA-1": padded(info(hash("sha1"), "sha1")),
		"SHA-384": padded(info(hash("sha384"), "sha384")),
		"a digest cut short": padded(info(hash("sha256").subarray(0, 20))),
		"a digest with a byte more": padded(info(Buffer.concat([hash("sha256"), Buffer.alloc(1)]))),
		"block type 0": padded(right, { type: 0, fill: 0 }),
		"block type 2": padded(right, { type: 2, fill: 0xaa }),
		"padding of FE": padded(right, { fill: 0xfe }),
		"padding of zeros": padded(right, { fill: 0 }),
		"no zero behind the padding": padded(right, { end: 0xff }),
		"a first byte that is not zero": padded(right, { lead: 1 }),
	};
	test.each(Object.entries(FORMS))("%s", (label, form) => judge(label, key, rawRsa(numbers, form), false));

	test("one byte of the padding that is not FF, anywhere", async () => {
		for (let at = 2; at < 330; at += 41) {
			const form = padded(right);
			form[at] = 0;
			await judge(`byte ${at}`, key, rawRsa(numbers, form), false);
		}
	});

	test("PSS, and a key of another kind", async () => {
		for (const saltLength of [0, 32, constants.RSA_PSS_SALTLEN_MAX_SIGN]) {
			const pss = sign("sha256", message, { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
			await judge(`PSS, salt ${saltLength}`, key, pss, false);
		}
		await judge("another RSA key", key, sign("sha256", message, rsaPair(3072).privateKey), false);
		await judge("a longer RSA key", key, sign("sha256", message, rsaPair(4096).privateKey), false);
		await judge(
			"ECDSA",
			key,
			sign("sha256", message, generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey),
			false,
		);
	});

	test("numbers that are not in 0 … n - 1, or not as long as the modulus", async () => {
		const { n, bytes } = numbers;
		for (const value of [0n, 1n, n - 1n, n, (1n << 3072n) - 1n]) {
			await judge(`${value}`.slice(0, 12), key, toBytes(value, bytes), false);
		}
		const more = BigInt(`0x${good.toString("hex")}`) + n;
		await judge("s + n", key, toBytes(more, more < 1n << 3072n ? bytes : bytes + 1), false);
		await judge("a zero in front", key, Buffer.concat([Buffer.alloc(1), good]), false);
		await judge("a zero behind", key, Buffer.concat([good, Buffer.alloc(1)]), false);
		await judge("cut short", key, good.subarray(1), false);
		await judge("nothing", key, Buffer.alloc(0), false);
	});

	test("a signature that begins with a zero is right with it, and not without", () => {
		const text = loadPublicKey(key);
		for (let i = 0; ; i++) {
			const data = Buffer.from(`message ${i}`);
			const found = sign("sha256", data, privateKey);
			if (found[0] !== 0) continue;
			expect(verifySignature(text, data, found)).toBe(true);
			return expect(verifySignature(text, data, found.subarray(1))).toBe(false);
		}
	});
});
