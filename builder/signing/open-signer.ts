import { createVerify } from "node:crypto";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { isSignatureForm, loadPublicKey, type PublicKey } from "../../bundle/keys.ts";
import type { Inputs } from "../release/inputs.ts";
import { signDigest } from "../tools/openssl.ts";
import { developmentKey } from "./development-key.ts";
import { loadPrivateKey } from "./private-key.ts";
import { SignatureCache } from "./signature-cache.ts";
import type { Signer } from "./signer.ts";

export interface SignerOptions {
	readonly root: string;
	readonly cacheDir: string;
	/** PEM file of a real key (SIGNING_KEY=); without it the development key is used, and made if need be. */
	readonly signingKey?: string | undefined;
	readonly passphraseFile?: string | undefined;
	/** Public key and signatures of an earlier build; no private key is used then. */
	readonly inputs?: Inputs | undefined;
}

/** Errors: E_KEY_MISSING, E_KEY_WEAK; when signing with an inputs file, E_KEY_MISSING and E_INPUTS. */
export async function openSigner(options: SignerOptions): Promise<Signer> {
	if (options.inputs !== undefined) return replayingSigner(options.inputs);
	const file = options.signingKey ?? (await developmentKey(options.root));
	const loaded = await loadPrivateKey(file, options.passphraseFile);
	const { public: publicKey, publicPem, development } = loaded;
	const { keyId } = publicKey;
	const cache = new SignatureCache(path.join(options.cacheDir, "signatures", keyId));
	const isWhole = (signature: Buffer) => isSignatureForm(publicKey, signature);
	const sign: Signer["sign"] = async (digest) => {
		const known = await cache.find(digest, isWhole);
		if (known !== undefined) return known;
		const signature = await signDigest(file, loaded.encrypted ? options.passphraseFile : undefined, digest);
		if (!isWhole(signature)) throw new SlipwayError("E_KEY_MISSING", `The key in ${file} has changed.`);
		return cache.keep(digest, signature);
	};
	return { keyId, publicKeyPem: publicPem, development, sign };
}

/** Hands out the signatures of an inputs file, each after a check that it is one for these bytes. */
function replayingSigner(inputs: Inputs): Signer {
	const publicKey = loadPublicKey(inputs.publicKey);
	const sign: Signer["sign"] = async (digest, open) => {
		const known = inputs.signatures[digest];
		if (known === undefined) {
			const message = `The inputs file has no signature for sha256:${digest}: this build's bytes are not those it was made with.`;
			throw new SlipwayError("E_KEY_MISSING", message, {
				next: "Use the X.inputs.json of the same commit and profile, or leave out --inputs to sign with a key.",
			});
		}
		const signature = Buffer.from(known, "base64");
		if (!(await fits(publicKey, signature, open))) {
			throw new SlipwayError("E_INPUTS", `The inputs file's signature for sha256:${digest} is not valid.`);
		}
		return signature;
	};
	return {
		keyId: publicKey.keyId,
		publicKeyPem: inputs.publicKey,
		development: inputs.development,
		sign,
	};
}

async function fits(key: PublicKey, signature: Buffer, open: () => AsyncIterable<Uint8Array>): Promise<boolean> {
	if (!isSignatureForm(key, signature)) return false;
	const verifying = createVerify("sha256");
	for await (const chunk of open()) verifying.update(chunk);
	return verifying.verify(key.key, signature);
}
