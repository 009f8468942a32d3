import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import { loadPublicKey, type PublicKey } from "../../bundle/keys.ts";
import { DEVELOPMENT_MARK } from "../../bundle/role.ts";

export interface PrivateKey {
	readonly encrypted: boolean;
	readonly public: PublicKey;
	/** SPKI in PEM; a development key has its mark in front. */
	readonly publicPem: string;
	readonly development: boolean;
}

/**
 * Reads a private key (PKCS#8, SEC 1 or PKCS#1 in PEM), encrypted ones with the passphrase in `passphraseFile`.
 * Errors: E_KEY_MISSING (no file, not a key, encrypted without passphrase, wrong passphrase), E_KEY_WEAK.
 */
export async function loadPrivateKey(file: string, passphraseFile?: string): Promise<PrivateKey> {
	const pem = await readText(file, "SIGNING_KEY");
	const encrypted = /^-----BEGIN ENCRYPTED|^Proc-Type:.*ENCRYPTED/m.test(pem);
	if (encrypted && passphraseFile === undefined) {
		throw new SlipwayError("E_KEY_MISSING", `The private key in ${file} is encrypted.`, {
			next: "Set SIGNING_KEY_PASSPHRASE_FILE= to a file that holds its passphrase.",
		});
	}
	const passphrase = encrypted
		? (await readText(passphraseFile as string, "SIGNING_KEY_PASSPHRASE_FILE")).split(/\r?\n/, 1)[0] // as openssl reads it
		: undefined;
	const key = parse(pem, passphrase, file);
	const spki = createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
	const development = pem.startsWith(DEVELOPMENT_MARK);
	const publicPem = development ? `${DEVELOPMENT_MARK}: not for production\n${spki}` : spki;
	return { encrypted, public: loadPublicKey(spki), publicPem, development };
}

function parse(pem: string, passphrase: string | undefined, file: string): KeyObject {
	try {
		return createPrivateKey({ key: pem, format: "pem", ...(passphrase === undefined ? {} : { passphrase }) });
	} catch {
		// The cause is left out: OpenSSL's message may quote what it read.
		const why = passphrase === undefined ? "is not a private key in PEM" : "cannot be opened with this passphrase";
		throw new SlipwayError("E_KEY_MISSING", `${file} ${why}.`);
	}
}

async function readText(file: string, variable: string): Promise<string> {
	return readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_KEY_MISSING", `${file} cannot be read (${cause.code}).`, {
			next: `Correct ${variable}=.`,
			cause,
		});
	});
}
