import type { Role } from "./dsse.ts";
import { SlipwayError } from "./errors.ts";
import { isSignatureForm, type PublicKey } from "./keys.ts";
import { openIfThere, openRegular, readExactly } from "./read.ts";
import { region } from "./regions.ts";
import { hashWholeFile } from "./whole-file.ts";

/** The longest signature there is: RSA with 8192 bits. */
const MAX_SIGNATURE = 1024;

/**
 * Name of the file that holds the signature over a whole file, as Artifact Studio publishes it: a trailing `.zst` is
 * dropped, `.sig.bin` added.
 */
export function signatureName(file: string): string {
	return `${file.endsWith(".zst") ? file.slice(0, -".zst".length) : file}.sig.bin`;
}

/** Reads a signature file. A missing one is a refusal. Errors: E_UNSIGNED, E_SIG_INVALID (empty or too long), E_IO. */
export async function readSignature(path: string): Promise<Buffer> {
	const file = await openIfThere(path);
	if (file === undefined) throw new SlipwayError("E_UNSIGNED", `There is no ${region.signatureFile(path)}.`);
	try {
		if (file.size > 0 && file.size <= MAX_SIGNATURE) return await readExactly(file.fd, 0, file.size);
		throw new SlipwayError("E_SIG_INVALID", `The ${region.signatureFile(path)} does not have the size of a signature.`);
	} finally {
		await file.close();
	}
}

/** Trusted keys of the role that could have made a signature of this form. Errors: E_KEY_REVOKED, E_SIG_INVALID. */
export function candidateKeys(role: Role, signature: Buffer, path: string): PublicKey[] {
	const usable = [...role.keys.values()].map((k) => k.key).filter((k) => !role.denyKeys.has(k.keyId));
	if (usable.length === 0) throw new SlipwayError("E_KEY_REVOKED", "Every key of the trust store has been revoked.");
	const candidates = usable.filter((key) => isSignatureForm(key, signature));
	if (candidates.length === 0) {
		throw new SlipwayError(
			"E_SIG_INVALID",
			`The ${region.signatureFile(path)} does not hold a signature that a trusted key can have made.`,
		);
	}
	return candidates;
}

/**
 * Checks a signature over a whole file of any kind, reading it once. A raw signature does not name its key: it is valid if
 * any trusted key of the role, not revoked, made it.
 * Errors: E_UNSIGNED, E_SIG_INVALID, E_KEY_REVOKED, E_SOURCE_CHANGED, E_IO.
 */
export async function verifyFile(
	path: string,
	sigPath: string,
	role: Role,
): Promise<{ sha256: string; keyId: string; development: boolean }> {
	const signature = await readSignature(sigPath);
	const candidates = candidateKeys(role, signature, sigPath);
	const file = await openRegular(path);
	try {
		const whole = hashWholeFile(file.fd, file.size, { sha256: true, signature, keys: candidates });
		whole.advance(file.size);
		const { sha256, signer } = await whole.result();
		await file.assertUnchanged();
		if (signer === undefined) throw notSigned(path, sigPath);
		return { sha256: sha256!, keyId: signer, development: role.keys.get(signer)?.development === true };
	} finally {
		await file.close();
	}
}

/** What is wrong when no trusted key's signature is found: for a file of any kind, the file or its signature. */
function notSigned(path: string, sigPath: string): SlipwayError {
	return new SlipwayError(
		"E_SIG_INVALID",
		`The ${region.signatureFile(sigPath)} is no trusted key's signature over ${path} (the file is damaged, or another key signed it).`,
	);
}
