import type { Signer } from "./signer.ts";

/**
 * A signer that remembers what it signed. Stages put this beside their output, so that a build whose stages come from the cache
 * still knows every signature for its inputs file.
 */
export function recordingSigner(signer: Signer): { signer: Signer; signatures: Record<string, string> } {
	const signatures: Record<string, string> = {};
	const sign: Signer["sign"] = async (digest, open) => {
		const signature = await signer.sign(digest, open);
		signatures[digest] = signature.toString("base64");
		return signature;
	};
	return { signer: { ...signer, sign }, signatures };
}
