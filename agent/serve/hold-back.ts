import { createHash } from "node:crypto";
import { parseDigest } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";

/**
 * Passes a whole blob's bytes on while hashing them. The last piece only comes when size and digest are right, so a wrong blob
 * never becomes a complete answer. Errors: E_DIGEST_MISMATCH and those of `parts`.
 */
export async function* holdBack(digest: string, size: number, parts: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
	const { algorithm, hex } = parseDigest(digest);
	const hash = createHash(algorithm);
	let held: Buffer | undefined;
	let seen = 0;
	for await (const part of parts) {
		if (held !== undefined) yield held;
		held = part;
		hash.update(part);
		seen += part.length;
		if (seen > size) break;
	}
	if (seen !== size || hash.digest("hex") !== hex) {
		throw new SlipwayError("E_DIGEST_MISMATCH", `The bytes of ${digest} have another digest, or not ${size} bytes.`);
	}
	if (held !== undefined) yield held;
}
