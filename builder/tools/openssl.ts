import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./run.ts";

/**
 * Signature (DER) of a private key over a SHA-256 digest, in hex, that is known already: node:crypto would have to hash the
 * bytes again, which for a large file takes longer than writing it. RSA pads as PKCS#1 v1.5. `keyFile` and `passphraseFile` are
 * read by openssl itself. Errors: those of run.
 */
export async function signDigest(keyFile: string, passphraseFile: string | undefined, digest: string): Promise<Buffer> {
	const dir = await mkdtemp(join(tmpdir(), "slipway-sign-"));
	try {
		const stdoutFile = join(dir, "signature");
		const passphrase = passphraseFile === undefined ? [] : ["-passin", `file:${passphraseFile}`];
		const args = ["pkeyutl", "-sign", "-inkey", keyFile, ...passphrase, "-pkeyopt", "digest:sha256"];
		await run("openssl", args, { input: Buffer.from(digest, "hex"), stdoutFile });
		return await readFile(stdoutFile);
	} finally {
		await rm(dir, { recursive: true, force: true });
	}
}
