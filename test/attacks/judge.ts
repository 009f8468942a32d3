import { createHash, createPublicKey } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { expect } from "vitest";
import { type DetachedEnvelope, pae, verifyEnvelope } from "../../bundle/dsse.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { loadPublicKey, verifySignature } from "../../bundle/keys.ts";
import { tempDir } from "../support/temp.ts";

const TYPE = "application/vnd.example+json";
const payload = Buffer.from('{"a":1}');
/** What signatures that are put before the judge are over. */
export const message = pae(TYPE, payload);
export const hash = (algorithm: string) => createHash(algorithm).update(message).digest();

let made: Promise<string> | undefined;

/** Whether openssl takes this signature over the message. */
async function openssl(key: string, signature: Buffer): Promise<boolean> {
	made ??= tempDir();
	const dir = await made;
	await writeFile(join(dir, "message"), message);
	await writeFile(join(dir, "key.pem"), key);
	await writeFile(join(dir, "signature"), signature);
	const files = ["-verify", join(dir, "key.pem"), "-signature", join(dir, "signature"), join(dir, "message")];
	return (await execa("openssl", ["dgst", "-sha256", ...files], { reject: false })).exitCode === 0;
}

/** The program reads no more of a signature file than a signature of the key can be long. */
function longest(key: string): number {
	const { modulusLength, namedCurve } = createPublicKey(key).asymmetricKeyDetails ?? {};
	return modulusLength === undefined ? { prime256v1: 72, secp384r1: 104 }[namedCurve!]! : modulusLength / 8;
}

/** Whether we take it, by both ways in. */
export function ours(text: string, signature: Buffer): boolean {
	const key = loadPublicKey(text);
	const alone = verifySignature(key, message, signature);
	const keys = new Map([[key.keyId, { key, development: false }]]);
	const role = { threshold: 1, keys, denyKeys: new Set<string>(), denyIndexes: new Set<string>() };
	const signatures = [{ keyid: key.keyId, sig: signature.toString("base64") }];
	const envelope: DetachedEnvelope = { payloadType: TYPE, signatures };
	let enveloped = true;
	try {
		verifyEnvelope(envelope, payload, TYPE, role);
	} catch (error) {
		if (!(error instanceof SlipwayError) || error.code !== "E_SIG_INVALID") throw error;
		enveloped = false;
	}
	expect(enveloped).toBe(alone);
	return alone;
}

/** We and openssl must both say `valid`; but of a file that is too long, openssl sees only the beginning, and we refuse it. */
export async function judge(label: string, key: string, signature: Buffer, valid: boolean): Promise<void> {
	expect([label, ours(key, signature)]).toEqual([label, valid]);
	if (signature.length > longest(key)) return expect(valid).toBe(false);
	expect([label, await openssl(key, signature)]).toEqual([label, valid]);
}
