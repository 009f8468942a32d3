import { hash } from "node:crypto";
import { SlipwayError } from "./errors.ts";

/** `sha256:` or `sha512:` and lower-case hex, as OCI writes a digest. */
export type Digest = string;

const FORM = /^(?:(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128}))$/;

/**
 * Splits a digest. What it returns is safe to use as a path part: nothing but lower-case hex passes.
 * Errors: E_DIGEST_FORMAT.
 */
export function parseDigest(text: string): { algorithm: "sha256" | "sha512"; hex: string } {
	const match = FORM.exec(text);
	if (match?.[1] !== undefined) return { algorithm: "sha256", hex: match[2]! };
	if (match?.[3] !== undefined) return { algorithm: "sha512", hex: match[4]! };
	throw new SlipwayError("E_DIGEST_FORMAT", `${JSON.stringify(text.slice(0, 160))} is not a digest.`);
}

/** SHA-256 in lower-case hex. */
export function sha256Hex(data: Uint8Array | string): string {
	return hash("sha256", data, "hex");
}

/** The path of a blob inside an OCI image layout: `blobs/<algorithm>/<hex>`. Errors: E_DIGEST_FORMAT. */
export function blobPath(digest: Digest): string {
	const { algorithm, hex } = parseDigest(digest);
	return `blobs/${algorithm}/${hex}`;
}
