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
	let seen = 0;
	const check = () => {
		if (seen === size && hash.digest("hex") === hex) return;
		throw new SlipwayError("E_DIGEST_MISMATCH", `The bytes of ${digest} have another digest, or not ${size} bytes.`);
	};
	for await (const part of parts) {
		hash.update(part);
		seen += part.length;
		if (seen >= size) check(); // this is the last one
		yield part;
	}
	if (seen < size || size === 0) check();
}
