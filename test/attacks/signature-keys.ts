import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { der, integer } from "./der.ts";

/** SPKI in PEM. */
export function pem(spki: Buffer): string {
	const lines = spki.toString("base64").replace(/.{64}(?=.)/g, "$&\n");
	return `-----BEGIN PUBLIC KEY-----\n${lines}\n-----END PUBLIC KEY-----\n`;
}

export const spkiOf = (key: KeyObject) => key.export({ format: "der", type: "spki" });

/** The SPKI of an RSA key with any numbers. */
export function rsaSpki(modulus: bigint, exponent: bigint): Buffer {
	const algorithm = Buffer.from("300d06092a864886f70d0101010500", "hex");
	const numbers = der(0x30, Buffer.concat([integer(modulus), integer(exponent)]));
	return der(0x30, Buffer.concat([algorithm, der(0x03, Buffer.concat([Buffer.alloc(1), numbers]))]));
}

/** The same key of an elliptic curve with its point in compressed form. */
export function compressed(spki: Buffer): Buffer {
	const bit = spki.indexOf(Buffer.from("000400".slice(0, 4), "hex"), 20); // unused bits 0, then 04: the point
	const size = (spki.length - bit - 2) / 2;
	const point = Buffer.concat([Buffer.from([0, 2 + (spki.at(-1)! & 1)]), spki.subarray(bit + 2, bit + 2 + size)]);
	const algorithm = spki.subarray(2, 2 + 2 + spki[3]!);
	return der(0x30, Buffer.concat([algorithm, der(0x03, point)]));
}

/** Numbers of an RSA key pair, so that a test can sign any padding with it. */
export interface RsaNumbers {
	readonly n: bigint;
	readonly e: bigint;
	readonly d: bigint;
	readonly bytes: number;
}

const number = (text: string) => BigInt(`0x${Buffer.from(text, "base64url").toString("hex")}`);

export function rsaNumbers(privateKey: KeyObject): RsaNumbers {
	const { n, e, d } = privateKey.export({ format: "jwk" });
	return { n: number(n!), e: number(e!), d: number(d!), bytes: Buffer.from(n!, "base64url").length };
}

/** The RSA signature whose padded message is exactly this. */
export function rawRsa({ n, d, bytes }: RsaNumbers, padded: Buffer): Buffer {
	return toBytes(power(BigInt(`0x${padded.toString("hex")}`), d, n), bytes);
}

export function toBytes(value: bigint, size: number): Buffer {
	return Buffer.from(value.toString(16).padStart(2 * size, "0"), "hex");
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
	let result = 1n;
	for (let b = base % modulus, e = exponent; e > 0n; e >>= 1n, b = (b * b) % modulus) {
		if (e & 1n) result = (result * b) % modulus;
	}
	return result;
}

export function rsaPair(bits: number, publicExponent = 65537) {
	return generateKeyPairSync("rsa", { modulusLength: bits, publicExponent });
}
