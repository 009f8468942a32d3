import { randomBytes } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { sha256Hex } from "../../bundle/digest.ts";
import { type DetachedEnvelope, type EnvelopeSigner, MAX_SIGNATURES, pae, parseEnvelope } from "../../bundle/dsse.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { furtherName, joinSignatures, readFurther } from "../../bundle/further-signatures.ts";
import { openBundle } from "../../bundle/reader.ts";

/**
 * Adds a signature to a DSSE document in place, or to a bundle's index in the `.sigs.json` beside it, which holds only what
 * the index's own envelope does not. Nothing is verified: whoever signs has looked at it. Gives the file that was written, or
 * undefined when the key had signed before. Errors: E_LIMIT, those of parseEnvelope and openBundle, E_IO.
 */
export async function addSignature(file: string, signer: EnvelopeSigner): Promise<string | undefined> {
	return file.endsWith(".zst") ? signBundle(file, signer) : signDocument(file, signer);
}

async function signDocument(file: string, signer: EnvelopeSigner): Promise<string | undefined> {
	const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_IO", `${file} cannot be read (${cause.code}).`, { cause });
	});
	const { envelope, payload } = parseEnvelope(bytes);
	const signature = await sign(envelope, payload, signer);
	if (signature === undefined) return undefined;
	await replace(file, { ...envelope, signatures: [...envelope.signatures, signature] });
	return file;
}

async function signBundle(file: string, signer: EnvelopeSigner): Promise<string | undefined> {
	const further = await readFurther(file);
	const bundle = await openBundle(file);
	await bundle.close();
	const { payloadType } = bundle.envelope;
	const signature = await sign(joinSignatures(bundle.envelope, further), bundle.payload, signer);
	if (signature === undefined) return undefined;
	const signatures = [...(further?.signatures ?? []), signature];
	await replace(furtherName(file), { payloadType, signatures } satisfies DetachedEnvelope);
	return furtherName(file);
}

async function sign({ payloadType, signatures }: DetachedEnvelope, payload: Buffer, { keyId, sign }: EnvelopeSigner) {
	if (signatures.some(({ keyid }) => keyid === keyId)) return undefined;
	if (signatures.length === MAX_SIGNATURES) {
		throw new SlipwayError("E_LIMIT", `There are ${MAX_SIGNATURES} signatures already, and no more are allowed.`);
	}
	const message = pae(payloadType, payload);
	const sig = await sign(sha256Hex(message), async function* () {
		yield message;
	});
	return { keyid: keyId, sig: sig.toString("base64") };
}

/** Writes a small JSON file so that it is whole at every moment. */
async function replace(file: string, value: unknown): Promise<void> {
	const temporary = `${file}.${randomBytes(6).toString("hex")}`;
	try {
		await writeFile(temporary, `${JSON.stringify(value)}\n`, { flag: "wx", flush: true });
		await rename(temporary, file);
	} finally {
		await rm(temporary, { force: true });
	}
}
