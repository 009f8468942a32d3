import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { readSmall } from "../../bundle/read.ts";
import { signatureName, verifyFile } from "../../bundle/signature-file.ts";
import { loadTrust } from "../../bundle/trust.ts";
import { chunksOf } from "../tools/chunks.ts";

interface Signature {
	readonly keyId: string;
	readonly development: boolean;
	readonly keyFile: string;
	/** The key came with the ISO: whoever exchanges the one exchanges the other, so this shows damage only. */
	readonly keyBeside: boolean;
}

/** What the files beside an ISO say of it. */
export interface ReleaseCheck {
	/** Hex. */
	readonly sha256: string;
	/** `X.iso.sha256` is there, and agrees. */
	readonly checksum: boolean;
	/** `X.iso.sig.bin` is there, and the key signed these bytes; null: there is no signature to check. */
	readonly signature: Signature | null;
}

/**
 * Checks an ISO with what lies beside it: `.sha256` and, with `key` or the `public_key.pem` of its folder, `.sig.bin`. What is
 * there must be right; a key without a signature is a refusal too, or taking the signature away would be enough.
 * Errors: E_DIGEST_MISMATCH, E_UNSIGNED, E_SIG_INVALID, those of loadTrust().
 */
export async function checkRelease(iso: string, key: string | undefined): Promise<ReleaseCheck> {
	const expected = await expectedDigest(iso);
	const beside = join(dirname(iso), "public_key.pem");
	const keyFile = key ?? ((await isThere(beside)) ? beside : undefined);
	const { signature, sha256 } =
		keyFile === undefined
			? { signature: null, sha256: await digestOf(iso) }
			: await signed(iso, keyFile, key === undefined);
	if (expected !== undefined && expected !== sha256) {
		const message = `${basename(iso)} has the SHA-256 ${sha256}; its .sha256 says ${expected}.`;
		throw new SlipwayError("E_DIGEST_MISMATCH", message, { next: "Copy the ISO again from its source." });
	}
	return { sha256, checksum: expected !== undefined, signature };
}

async function signed(iso: string, keyFile: string, keyBeside: boolean) {
	const { release } = await loadTrust(keyFile);
	const { sha256, keyId, development } = await verifyFile(iso, signatureName(iso), release);
	return { sha256, signature: { keyId, development, keyFile, keyBeside } };
}

/** The digest in `X.iso.sha256`, a file as sha256sum writes it; undefined if there is none. */
async function expectedDigest(iso: string): Promise<string | undefined> {
	const bytes = await readSmall(`${iso}.sha256`, 64 * 1024);
	if (bytes === undefined) return undefined;
	const lines = [...bytes.toString("utf8").matchAll(/^([0-9a-f]{64}) [ *](.+)$/gm)];
	const digest = (lines.find((line) => line[2] === basename(iso)) ?? (lines.length === 1 ? lines[0] : undefined))?.[1];
	if (digest !== undefined) return digest;
	throw new SlipwayError("E_DIGEST_FORMAT", `${basename(iso)}.sha256 holds no SHA-256 of this ISO.`);
}

async function digestOf(file: string): Promise<string> {
	const hash = createHash("sha256");
	for await (const chunk of chunksOf(file)) hash.update(chunk);
	return hash.digest("hex");
}

async function isThere(file: string): Promise<boolean> {
	return (await stat(file).catch(() => undefined)) !== undefined;
}
