import { generateKeyPairSync } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { sha256Hex } from "../../bundle/digest.ts";
import { loadPublicKey, verifySignature } from "../../bundle/keys.ts";
import { loadTrust } from "../../bundle/trust.ts";
import type { Inputs } from "../release/inputs.ts";
import { run } from "../tools/run.ts";
import { openSigner } from "./open-signer.ts";
import { recordingSigner } from "./record.ts";

let root: string;
beforeEach(async () => {
	root = await mkdtemp(path.join(tmpdir(), "slipway-signing-"));
});
afterEach(() => rm(root, { recursive: true }));

const open = (more = {}) => openSigner({ root, cacheDir: path.join(root, ".cache"), ...more });
const data = Buffer.from("signed bytes");
async function* bytes() {
	yield data.subarray(0, 3);
	yield data.subarray(3);
}
const never = (): AsyncIterable<Uint8Array> => {
	throw new Error("the bytes must not be read again");
};

test("the development key is made once, is private, and is marked for people, openssl and the trust store alike", async () => {
	const signers = await Promise.all([open(), open(), open()]);
	expect(new Set(signers.map((s) => s.keyId)).size).toBe(1);
	const signer = signers[0] as (typeof signers)[0];
	expect(signer.development).toBe(true);
	const key = path.join(root, ".keys", "development.pem");
	expect((await stat(key)).mode & 0o777).toBe(0o600);
	expect((await stat(path.dirname(key))).mode & 0o777).toBe(0o700);
	await chmod(key, 0o644);
	await open();
	expect((await stat(key)).mode & 0o777).toBe(0o600);

	const pub = path.join(root, "public_key.pem");
	await writeFile(pub, signer.publicKeyPem);
	expect(signer.publicKeyPem.split("\n")[0]).toBe("Slipway development key: not for production");
	expect([...(await loadTrust(pub)).release.keys.entries()]).toEqual([
		[signer.keyId, expect.objectContaining({ development: true })],
	]);
	const [file, sig] = [path.join(root, "data"), path.join(root, "data.sig.bin")];
	await writeFile(file, data);
	await writeFile(sig, await signer.sign(sha256Hex(data), bytes));
	const args = ["dgst", "-sha256", "-verify", pub, "-signature", sig, file];
	expect((await run("openssl", args)).stdout).toContain("Verified OK");
	// Given as SIGNING_KEY it stays what it is.
	expect((await open({ signingKey: key })).development).toBe(true);
});

test("bytes signed once keep their signature, and it is reported for the inputs file", async () => {
	const first = await open();
	const signature = await first.sign(sha256Hex(data), bytes);
	expect(verifySignature(loadPublicKey(first.publicKeyPem), data, signature)).toBe(true);
	const second = await open();
	expect(await second.sign(sha256Hex(data), never)).toEqual(signature);
	const recording = recordingSigner(second);
	await recording.signer.sign(sha256Hex(data), never);
	expect(recording.signatures).toEqual({ [sha256Hex(data)]: signature.toString("base64") });
	const kept = path.join(root, ".cache", "signatures", first.keyId, sha256Hex(data));
	await writeFile(kept, "damaged");
	const again = await (await open()).sign(sha256Hex(data), bytes);
	expect(verifySignature(loadPublicKey(first.publicKeyPem), data, again)).toBe(true);
	expect(await readFile(kept)).toEqual(again);
});

test("strong keys are taken, weak ones and what is not a key are refused", async () => {
	const write = async (pem: string) => {
		await writeFile(path.join(root, "key.pem"), pem);
		return open({ signingKey: path.join(root, "key.pem") });
	};
	const ec = (namedCurve: string) =>
		generateKeyPairSync("ec", { namedCurve }).privateKey.export({ type: "sec1", format: "pem" }).toString();
	const rsa = (modulusLength: number) => generateKeyPairSync("rsa", { modulusLength }).privateKey;
	for (const pem of [ec("P-256"), ec("P-384"), rsa(3072).export({ type: "pkcs1", format: "pem" }).toString()]) {
		const signer = await write(pem);
		expect(signer.development).toBe(false);
		expect(signer.publicKeyPem).toMatch(/^-----BEGIN PUBLIC KEY/);
		expect(verifySignature(loadPublicKey(signer.publicKeyPem), data, await signer.sign(sha256Hex(data), bytes))).toBe(
			true,
		);
	}
	const ed = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString();
	for (const pem of [rsa(2048).export({ type: "pkcs8", format: "pem" }).toString(), ec("secp256k1"), ed]) {
		await expect(write(pem)).rejects.toMatchObject({ code: "E_KEY_WEAK", exitCode: 6 });
	}
	await expect(write("nonsense")).rejects.toMatchObject({ code: "E_KEY_MISSING", exitCode: 4 });
	await expect(open({ signingKey: path.join(root, "none") })).rejects.toMatchObject({ code: "E_KEY_MISSING" });
});

test("an encrypted key needs its passphrase file, and no error shows the passphrase", async () => {
	const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
	const pem = privateKey
		.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "right-canary" })
		.toString();
	const signingKey = path.join(root, "key.pem");
	await writeFile(signingKey, pem);
	const passphraseFile = path.join(root, "passphrase");
	await writeFile(passphraseFile, "right-canary\n");
	await expect(open({ signingKey })).rejects.toMatchObject({
		code: "E_KEY_MISSING",
		next: expect.stringContaining("SIGNING_KEY_PASSPHRASE_FILE"),
	});
	expect((await open({ signingKey, passphraseFile })).development).toBe(false);
	await writeFile(passphraseFile, "wrong-canary\n");
	const error: unknown = await open({ signingKey, passphraseFile }).catch((e: unknown) => e);
	expect(error).toMatchObject({ code: "E_KEY_MISSING" });
	expect(`${(error as Error).message} ${(error as { next: string }).next}`).not.toContain("canary");
});

test("with an inputs file nothing is signed: known signatures are used after a check, anything else is an error", async () => {
	const original = await open();
	const signature = await original.sign(sha256Hex(data), bytes);
	await rm(path.join(root, ".keys"), { recursive: true });
	const inputs = {
		publicKey: original.publicKeyPem,
		development: true,
		signatures: { [sha256Hex(data)]: signature.toString("base64"), [sha256Hex("other")]: signature.toString("base64") },
	} as unknown as Inputs;
	const replay = await open({ inputs });
	expect(replay.keyId).toBe(original.keyId);
	expect(await replay.sign(sha256Hex(data), bytes)).toEqual(signature);
	await expect(replay.sign(sha256Hex("new"), bytes)).rejects.toMatchObject({ code: "E_KEY_MISSING" });
	async function* other() {
		yield Buffer.from("other");
	}
	await expect(replay.sign(sha256Hex("other"), other)).rejects.toMatchObject({ code: "E_INPUTS" });
	await expect(readFile(path.join(root, ".keys", "development.pem"))).rejects.toMatchObject({ code: "ENOENT" });
});
