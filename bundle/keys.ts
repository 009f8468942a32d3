import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { SlipwayError } from "./errors.ts";

export interface PublicKey {
	/** SHA-256 of the SPKI in DER, hex. One key has one id, since only one encoding of it is taken. */
	readonly keyId: string;
	readonly key: KeyObject;
	readonly algorithm: "ecdsa-p256" | "ecdsa-p384" | "rsa";
}

/**
 * The only SPKI encodings of an elliptic-curve key that are taken: named curve, uncompressed point (RFC 5480). All bytes in
 * front of the point are fixed, so comparing them leaves no second way to write the same key.
 */
const CURVES = [
	{
		algorithm: "ecdsa-p256",
		prefix: Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex"),
		scalarBytes: 32,
		order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
	},
	{
		algorithm: "ecdsa-p384",
		prefix: Buffer.from("3076301006072a8648ce3d020106052b8104002203620004", "hex"),
		scalarBytes: 48,
		order: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
	},
] as const;

const PEM = /-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END PUBLIC KEY-----/g;

/**
 * Reads one public key (SPKI in PEM; lines of text around it are allowed). Only ECDSA P-256 and P-384 with an uncompressed
 * point, and RSA of 3072 to 8192 bits (whole bytes) with an odd public exponent of at least 65537.
 * Errors: E_KEY_WEAK.
 */
export function loadPublicKey(pem: string): PublicKey {
	const blocks = [...pem.matchAll(PEM)];
	if (blocks.length !== 1 || pem.split("-----BEGIN ").length !== 2) {
		throw new SlipwayError("E_KEY_WEAK", "The file does not hold exactly one public key in PEM.");
	}
	const der = Buffer.from(blocks[0]![1]!, "base64");
	const key = importSpki(der);
	return { keyId: createHash("sha256").update(der).digest("hex"), key, algorithm: algorithmOf(der, key) };
}

function importSpki(der: Buffer): KeyObject {
	try {
		return createPublicKey({ key: der, format: "der", type: "spki" });
	} catch (cause) {
		throw new SlipwayError("E_KEY_WEAK", "The public key is not well-formed, or of a kind that is not supported.", {
			cause,
		});
	}
}

function algorithmOf(der: Buffer, key: KeyObject): PublicKey["algorithm"] {
	if (key.asymmetricKeyType === "ec") {
		const curve = CURVES.find((c) => der.subarray(0, c.prefix.length).equals(c.prefix));
		if (curve === undefined || der.length !== curve.prefix.length + 2 * curve.scalarBytes) {
			throw new SlipwayError(
				"E_KEY_WEAK",
				"The elliptic-curve key is not P-256 or P-384 as a named curve with an uncompressed point.",
			);
		}
		return curve.algorithm;
	}
	if (key.asymmetricKeyType !== "rsa") {
		throw new SlipwayError("E_KEY_WEAK", `Keys of type ${key.asymmetricKeyType ?? "unknown"} are not allowed.`);
	}
	const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
	if (modulusLength < 3072 || modulusLength > 8192) {
		throw new SlipwayError("E_KEY_WEAK", `The RSA key has ${modulusLength} bits; 3072 to 8192 are allowed.`);
	}
	if (modulusLength % 8 !== 0) {
		throw new SlipwayError("E_KEY_WEAK", `The RSA key has ${modulusLength} bits; whole bytes are needed.`);
	}
	// FIPS 186-5 section 5.4: 2^16 < e < 2^256, odd.
	if (publicExponent < 65537n || publicExponent >= 1n << 256n || publicExponent % 2n === 0n) {
		throw new SlipwayError(
			"E_KEY_WEAK",
			`The RSA key has the public exponent ${publicExponent}; it must be odd and at least 65537.`,
		);
	}
	if (!key.export({ format: "der", type: "spki" }).equals(der)) {
		throw new SlipwayError("E_KEY_WEAK", "The RSA key is not in its one DER encoding.");
	}
	return "rsa";
}

/**
 * True for a valid signature with SHA-256 over `data`: ECDSA in strict DER, or RSA PKCS#1 v1.5. The algorithm follows from
 * the key alone.
 */
export function verifySignature(key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean {
	return isSignatureForm(key, signature) && verify("sha256", data, key.key, signature);
}

/**
 * True when `signature` has the one form that a signature of this key can have. OpenSSL is a little more lenient; call this
 * before any other way of verifying, such as a streaming one.
 */
export function isSignatureForm(key: PublicKey, signature: Uint8Array): boolean {
	const curve = CURVES.find((c) => c.algorithm === key.algorithm);
	if (curve === undefined) return signature.length === (key.key.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
	return isStrictEcdsa(signature, curve.order);
}

/** ECDSA-Sig-Value (RFC 3279 section 2.2.3) in DER: SEQUENCE of two minimal INTEGERs r and s, each 1 … n-1, and no more. */
function isStrictEcdsa(sig: Uint8Array, order: bigint): boolean {
	// Even for P-384 the whole is under 128 bytes, so every length has the short form.
	if (sig[0] !== 0x30 || sig[1] !== sig.length - 2 || sig.length > 129) return false;
	const r = readInteger(sig, 2);
	const s = r && readInteger(sig, r.end);
	if (r === undefined || s === undefined || s.end !== sig.length) return false;
	return [r.value, s.value].every((v) => v >= 1n && v < order);
}

function readInteger(sig: Uint8Array, at: number): { value: bigint; end: number } | undefined {
	const length = sig[at + 1];
	if (sig[at] !== 0x02 || length === undefined || length === 0) return undefined;
	const end = at + 2 + length;
	const [first = 0, second = 0] = sig.subarray(at + 2, end);
	if (end > sig.length || first >= 0x80) return undefined; // cut off, or negative
	if (length > 1 && first === 0 && second < 0x80) return undefined; // not minimal
	return { value: BigInt(`0x${Buffer.from(sig.subarray(at + 2, end)).toString("hex")}`), end };
}
