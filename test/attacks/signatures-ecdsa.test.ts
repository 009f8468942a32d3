import { generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, test } from "vitest";
import { der, integer, readPair } from "./der.ts";
import { judge, message, ours } from "./judge.ts";
import { pem, rsaPair, spkiOf } from "./signature-keys.ts";

/**
 * Signatures in odd forms, in the manner of Project Wycheproof (no npm package was found that carries it), with openssl as the
 * judge: what it refuses we refuse. Where we are stricter, the test says so.
 */

const ORDER = {
	"P-256": 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
	"P-384": 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
};

describe.each(["P-256", "P-384"] as const)("ECDSA %s", (namedCurve) => {
	const n = ORDER[namedCurve];
	const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve });
	const key = pem(spkiOf(publicKey));
	const good = sign("sha256", message, privateKey);
	const pair = (r: Buffer, s: Buffer) => der(0x30, Buffer.concat([r, s]));
	const { r, s } = readPair(good);
	const [R, S] = [der(0x02, r), der(0x02, s)];
	const [rv, sv] = [r, s].map((b) => BigInt(`0x${b.toString("hex")}`)) as [bigint, bigint];

	test("right ones, and the other right one: s and n - s are both valid, so nothing may depend on a signature's bytes", async () => {
		await judge("as signed", key, good, true);
		await judge("n - s", key, pair(R, integer(n - sv)), true);
	});

	test("right ones whose integers are short, or need a zero in front", async () => {
		const size = namedCurve === "P-256" ? 32 : 48;
		const wanted = { short: (b: Buffer) => b.length < size, long: (b: Buffer) => b.length > size };
		for (const [label, is] of Object.entries(wanted)) {
			for (const which of ["r", "s"] as const) {
				let found = good;
				while (!is(readPair(found)[which])) found = sign("sha256", message, privateKey);
				await judge(`${label} ${which}`, key, found, true);
			}
		}
	});

	test("r and s of 0, 1, n - 1, n, n + 1, 2n, p and negative ones, each with each", async () => {
		const values = [0n, 1n, -1n, n - 1n, n, n + 1n, 2n * n, -n, 2n ** (namedCurve === "P-256" ? 256n : 384n)];
		for (const a of values) {
			await judge(`r = ${a}`, key, pair(integer(a), S), false);
			await judge(`s = ${a}`, key, pair(R, integer(a)), false);
			for (const b of values) expect([a, b, ours(key, pair(integer(a), integer(b)))]).toEqual([a, b, false]);
		}
		await judge("r + n", key, pair(integer(rv + n), S), false);
		await judge("s + n", key, pair(R, integer(sv + n)), false);
		await judge("r - n", key, pair(integer(rv - n), S), false);
		await judge("-s", key, pair(R, integer(-sv)), false);
		await judge("exchanged", key, pair(S, R), false);
	});

	const zero = Buffer.alloc(1);
	const strip = (b: Buffer) => (b[0] === 0 ? b.subarray(1) : b);
	/** The same numbers, written in ways that DER does not allow. */
	const BER: Record<string, Buffer> = {
		"a sequence with its length in long form": Buffer.concat([Buffer.from([0x30, 0x81]), good.subarray(1)]),
		"a length of two bytes": Buffer.concat([Buffer.from([0x30, 0x82, 0]), good.subarray(1)]),
		"a length of nine bytes": Buffer.concat([Buffer.from("308900000000000000", "hex"), zero, good.subarray(1)]),
		"an indefinite length": Buffer.concat([Buffer.from([0x30, 0x80]), good.subarray(2), Buffer.alloc(2)]),
		"an integer with its length in long form": pair(Buffer.concat([Buffer.from([0x02, 0x81, r.length]), r]), S),
		"an integer of indefinite length": pair(Buffer.concat([Buffer.from([0x22, 0x80]), R, Buffer.alloc(2)]), S),
		"a zero too many in front of r": pair(der(0x02, Buffer.concat([zero, zero, strip(r)])), S),
		"a zero too many in front of s": pair(R, der(0x02, Buffer.concat([zero, zero, strip(s)]))),
		"an empty integer": pair(der(0x02, Buffer.alloc(0)), S),
		"null for an integer": pair(Buffer.from([0x05, 0]), S),
		"an octet string for an integer": pair(der(0x04, r), S),
		"a set for the sequence": der(0x31, Buffer.concat([R, S])),
		"a context tag for the sequence": der(0xa0, Buffer.concat([R, S])),
		"a sequence in a sequence": der(0x30, good),
		"r alone": der(0x30, R),
		"three integers": der(0x30, Buffer.concat([R, S, integer(1n)])),
		"a byte behind s": der(0x30, Buffer.concat([R, S, zero])),
		"null behind s": der(0x30, Buffer.concat([R, S, Buffer.from([0x05, 0])])),
		"a byte behind it": Buffer.concat([good, zero]),
		"itself behind it": Buffer.concat([good, good]),
		"a length that claims more": Buffer.concat([Buffer.from([0x30, good.length - 1]), good.subarray(2)]),
		"a length that claims less": Buffer.concat([Buffer.from([0x30, good.length - 3]), good.subarray(2)]),
		"r and s as they are (IEEE P1363)": sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" }),
		"a bit string around it": der(0x03, Buffer.concat([zero, good])),
		"its text in hex": Buffer.from(good.toString("hex")),
		nothing: Buffer.alloc(0),
	};
	test.each(Object.entries(BER))("%s", (label, signature) => judge(label, key, signature, false));

	test("a number whose zero in front is missing, and so is negative", async () => {
		let found = good;
		while (readPair(found).r[0] !== 0) found = sign("sha256", message, privateKey);
		const { r, s } = readPair(found);
		await judge("r without its zero", key, pair(der(0x02, r.subarray(1)), der(0x02, s)), false);
	});

	test("another hash, another key, another curve, another algorithm", async () => {
		for (const other of ["sha1", "sha384", "sha512"]) await judge(other, key, sign(other, message, privateKey), false);
		for (const other of ["P-256", "P-384", "P-521", "secp256k1"]) {
			const stranger = generateKeyPairSync("ec", { namedCurve: other }).privateKey;
			await judge(other, key, sign("sha256", message, stranger), false);
		}
		await judge("RSA", key, sign("sha256", message, rsaPair(3072).privateKey), false);
		await judge("Ed25519", key, sign(null, message, generateKeyPairSync("ed25519").privateKey), false);
	});
});
