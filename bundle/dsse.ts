import { sha256Hex } from "./digest.ts";
import { SlipwayError } from "./errors.ts";
import { type PublicKey, verifySignature } from "./keys.ts";
import { parseStrictJson } from "./strict-json.ts";
import { z } from "./zod.ts";

/** More signatures than this are refused unread: verifying is work that a stranger could ask for. */
export const MAX_SIGNATURES = 16;

/** The keys of one role, and how many of them must sign. Denied keys and indexes never count. */
export interface Role {
	readonly threshold: number;
	readonly keys: ReadonlyMap<string, { key: PublicKey; development: boolean }>;
	readonly denyKeys: ReadonlySet<string>;
	readonly denyIndexes: ReadonlySet<string>;
}

/** A DSSE envelope whose payload stands elsewhere, as in a bundle's index frame. */
export interface DetachedEnvelope {
	payloadType: string;
	signatures: { keyid: string; sig: string }[];
}

/** A DSSE envelope: payload and signatures in base64. */
export interface Envelope extends DetachedEnvelope {
	payload: string;
}

/** What can sign: the builder's Signer, or a test's. A chunk that `open` yields is valid until the next is asked for. */
export interface EnvelopeSigner {
	readonly keyId: string;
	sign(digest: string, open: () => AsyncIterable<Uint8Array>): Promise<Buffer>;
}

const signatures = z.array(
	z.strictObject({ keyid: z.string().regex(/^[0-9a-f]{64}$/), sig: z.base64().min(1).max(2048) }),
);
const detached = z.strictObject({ payloadType: z.string().max(255), signatures });
const attached = detached.extend({ payload: z.string() });

/** DSSE v1 pre-authentication encoding: what is signed. Binds the type to the payload, so neither can stand in for another. */
export function pae(payloadType: string, payload: Uint8Array): Buffer {
	const type = Buffer.from(payloadType, "utf8");
	return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} `), type, Buffer.from(` ${payload.length} `), payload]);
}

/** Signs a payload with one key. */
export async function signEnvelope(payloadType: string, payload: Buffer, signer: EnvelopeSigner): Promise<Envelope> {
	const message = pae(payloadType, payload);
	const sig = await signer.sign(sha256Hex(message), async function* () {
		yield message;
	});
	return {
		payload: payload.toString("base64"),
		payloadType,
		signatures: [{ keyid: signer.keyId, sig: sig.toString("base64") }],
	};
}

/** Parses an envelope that carries its payload. Errors: E_JSON_STRICT, E_UNSIGNED, E_LIMIT, E_SIG_INVALID (not an envelope). */
export function parseEnvelope(bytes: Uint8Array): { envelope: Envelope; payload: Buffer } {
	const envelope = parse(attached, bytes);
	return { envelope, payload: fromBase64(envelope.payload) };
}

/** Parses an envelope without a payload. Errors: E_JSON_STRICT, E_UNSIGNED, E_LIMIT, E_SIG_INVALID (not an envelope). */
export function parseDetachedEnvelope(bytes: Uint8Array): DetachedEnvelope {
	return parse(detached, bytes);
}

function parse<T extends DetachedEnvelope>(schema: z.ZodType<T>, bytes: Uint8Array): T {
	const result = schema.safeParse(parseStrictJson(bytes));
	if (!result.success) {
		const issue = result.error.issues[0]!;
		throw new SlipwayError(
			"E_SIG_INVALID",
			`The signature envelope is not well-formed: ${issue.path.join(".")}: ${issue.message}.`,
		);
	}
	if (result.data.signatures.length === 0) throw new SlipwayError("E_UNSIGNED", "The envelope holds no signature.");
	return limitSignatures(result.data);
}

function limitSignatures<T extends DetachedEnvelope>(envelope: T): T {
	const n = envelope.signatures.length;
	if (n > MAX_SIGNATURES)
		throw new SlipwayError("E_LIMIT", `The envelope has ${n} signatures; ${MAX_SIGNATURES} are allowed.`);
	return envelope;
}

/** Node ignores stray characters and unused bits in base64; re-encoding shows them. */
function fromBase64(text: string): Buffer {
	const bytes = Buffer.from(text, "base64");
	if (bytes.toString("base64") !== text)
		throw new SlipwayError("E_SIG_INVALID", "The envelope's base64 is not in its one form.");
	return bytes;
}

/**
 * Checks that enough trusted keys of the role signed exactly this payload as this type of document. A key id only selects
 * among trusted keys, and one key counts once. A signature that names a trusted key and is not valid refuses the document.
 * `development` is true when a development key is among those that count.
 * Errors: E_SIG_CONTEXT, E_LIMIT, E_SIG_INVALID, E_KEY_REVOKED, E_KEY_UNKNOWN, E_THRESHOLD.
 */
export function verifyEnvelope(
	envelope: DetachedEnvelope,
	payload: Uint8Array,
	expectedType: string,
	role: Role,
): { keys: string[]; development: boolean } {
	if (envelope.payloadType !== expectedType) {
		throw new SlipwayError(
			"E_SIG_CONTEXT",
			`The signed document is of type ${JSON.stringify(envelope.payloadType)}, not ${expectedType}.`,
		);
	}
	limitSignatures(envelope);
	const message = pae(expectedType, payload);
	const counted = new Set<string>();
	let revoked: string | undefined;
	for (const { keyid, sig } of envelope.signatures) {
		if (role.denyKeys.has(keyid)) {
			revoked = keyid;
			continue;
		}
		const trusted = role.keys.get(keyid);
		if (trusted === undefined) continue;
		if (!verifySignature(trusted.key, message, fromBase64(sig))) {
			throw new SlipwayError("E_SIG_INVALID", `The signature of key ${keyid} is not valid for this document.`);
		}
		counted.add(trusted.key.keyId);
	}
	if (counted.size === 0 && revoked !== undefined) {
		throw new SlipwayError("E_KEY_REVOKED", `The document is signed with the key ${revoked}, which has been revoked.`);
	}
	if (counted.size === 0) {
		const named = envelope.signatures.map((s) => s.keyid.slice(0, 16)).join(", ");
		throw new SlipwayError("E_KEY_UNKNOWN", `No trusted key signed this document (it names ${named}).`);
	}
	if (counted.size < role.threshold) {
		throw new SlipwayError("E_THRESHOLD", `${counted.size} trusted keys signed this document; ${role.threshold} must.`);
	}
	const keys = [...counted];
	return { keys, development: keys.some((id) => role.keys.get(id)?.development === true) };
}
