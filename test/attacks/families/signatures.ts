import { createSign, sign } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { pae, signEnvelope } from "../../../bundle/dsse.ts";
import { PAYLOAD_TYPE } from "../../../bundle/index-schema.ts";
import { signatureName } from "../../../bundle/signature-file.ts";
import type { TestSigner } from "../../support/bundles.ts";
import { der, integer, readPair } from "../der.ts";
import { type Family, family, pick, place, variant } from "../family.ts";
import type { Site } from "../site.ts";

/** A08 to A12: signatures over less, over something else, by somebody else, by too few, or not in their one form. */

const TYPES = [
	...Object.values(PAYLOAD_TYPE).filter((type) => type !== PAYLOAD_TYPE.bundleIndex),
	"application/vnd.slipway.bundle-index.v2+json",
	"application/vnd.in-toto+json",
	"application/json",
	"",
];

interface Json {
	payloadType: string;
	signatures: { keyid: string; sig: string }[];
}
const edit = (change: (envelope: Json) => object) => (envelope: Buffer) =>
	Buffer.from(JSON.stringify(change(JSON.parse(envelope.toString()))));

/** Signs a message as it is, with SHA-256. */
const raw = (signer: TestSigner, message: Buffer) => createSign("sha256").update(message).sign(signer.privateKey);
const entry = (signer: TestSigner, sig: Buffer) => ({ keyid: signer.keyId, sig: sig.toString("base64") });

/** A bundle whose `.sig.bin` is made by `make` from the file's bytes. */
async function signedBy(site: Site, make: (file: Buffer) => Buffer): Promise<{ bundle: string }> {
	const { bundle } = await site.forge({});
	await writeFile(signatureName(bundle), make(await readFile(bundle)));
	return { bundle };
}

/** A bundle whose envelope holds a signature made by `make` from the payload. */
async function envelopeBy(site: Site, make: (payload: Buffer) => { keyid: string; sig: string }) {
	let payload: Buffer = Buffer.alloc(0);
	return site.forge({
		payload: (p) => {
			payload = p;
			return p;
		},
		envelope: edit((e) => ({ ...e, signatures: [make(payload)] })),
	});
}

const a08 = family(
	"A08",
	"signatures that cover less than is used",
	variant("the file's first bytes", "E_SIG_INVALID", place, (site, n) =>
		signedBy(site, (file) => raw(site.signer, file.subarray(0, pick(n, file.length)))),
	),
	variant("the file's last bytes", "E_SIG_INVALID", place, (site, n) =>
		signedBy(site, (file) => raw(site.signer, file.subarray(1 + pick(n, file.length)))),
	),
	variant("part of the index", "E_SIG_INVALID", fc.record({ from: place, length: place }), (site, { from, length }) =>
		envelopeBy(site, (payload) => {
			const start = pick(from, payload.length);
			const part = payload.subarray(start, start + pick(length, payload.length - (start === 0 ? 1 : start)));
			return entry(site.signer, raw(site.signer, pae(PAYLOAD_TYPE.bundleIndex, part)));
		}),
	),
	variant("the data frames alone", "E_SIG_INVALID", fc.constant(null), (site) =>
		signedBy(site, (file) => raw(site.signer, file.subarray(0, file.lastIndexOf(Buffer.from("572a4d18", "hex"))))),
	),
);

const a09 = family(
	"A09",
	"right signatures of other documents",
	variant("type", "E_SIG_CONTEXT", fc.constantFrom(...TYPES), (site, payloadType) => site.forge({ payloadType })),
	variant("type changed after signing", "E_SIG_INVALID", fc.constantFrom(...TYPES), (site, payloadType) =>
		site.forge({ payloadType, envelope: edit((e) => ({ ...e, payloadType: PAYLOAD_TYPE.bundleIndex })) }),
	),
	variant("no type in what is signed", "E_SIG_INVALID", fc.constantFrom("payload", "base64"), (site, how) =>
		envelopeBy(site, (payload) => {
			const message = how === "payload" ? payload : Buffer.from(payload.toString("base64"));
			return entry(site.signer, raw(site.signer, message));
		}),
	),
	variant(
		"the signature of another bundle",
		"E_SIG_INVALID",
		fc.constantFrom("good", "wide", "other"),
		async (site, which) => {
			const other = await readFile(site[which as "good"].sigPath);
			return signedBy(site, () => other);
		},
	),
	variant(
		"a release of another type",
		"E_SIG_CONTEXT",
		fc.constantFrom(...TYPES, PAYLOAD_TYPE.bundleIndex),
		async (site, type) => {
			const content = await site.content();
			const payload = Buffer.from(JSON.stringify(await site.payload()));
			const payloadType = type === PAYLOAD_TYPE.contentRelease ? PAYLOAD_TYPE.isoRelease : type;
			await writeFile(
				join(content, "release.dsse.json"),
				JSON.stringify(await signEnvelope(payloadType, payload, site.signer)),
			);
			return { content };
		},
	),
);

const a10 = family(
	"A10",
	"keys that the attacker chose",
	variant("an unknown key", "E_KEY_UNKNOWN", fc.constant(null), (site) => site.forge({ signer: site.stranger })),
	variant("a trusted key's id on a stranger's signature", "E_SIG_INVALID", fc.constant(null), (site) =>
		envelopeBy(site, (p) => ({
			...entry(site.stranger, raw(site.stranger, pae(PAYLOAD_TYPE.bundleIndex, p))),
			keyid: site.signer.keyId,
		})),
	),
	variant("an unknown key for the whole file", "E_SIG_INVALID", fc.constant(null), (site) =>
		signedBy(site, (file) => raw(site.stranger, file)),
	),
	variant(
		"a key or an algorithm inside the envelope",
		"E_SIG_INVALID",
		fc.record({
			name: fc.constantFrom("key", "publicKey", "alg", "cert", "x5c", "jwk"),
			where: fc.constantFrom("envelope", "signature"),
		}),
		(site, { name, where }) =>
			site.forge({
				signer: site.stranger,
				envelope: edit((e) => {
					const more = { [name]: name === "alg" ? "none" : site.stranger.publicKeyPem };
					return where === "envelope" ? { ...e, ...more } : { ...e, signatures: [{ ...e.signatures[0], ...more }] };
				}),
			}),
	),
	variant(
		"another trusted key's id, of another algorithm",
		"E_SIG_INVALID",
		fc.constantFrom("second", "rsa"),
		async (site, which) => {
			const other = site[which as "rsa"];
			const offer = await site.forge({
				envelope: edit((e) => ({ ...e, signatures: [{ ...e.signatures[0], keyid: other.keyId }] })),
			});
			return { ...offer, trust: { keys: [site.signer, other] } };
		},
	),
	variant(
		"a key id that is no id",
		"E_SIG_INVALID",
		fc.constantFrom("", "../../trust.pem", "A".repeat(64), "0".repeat(63)),
		(site, keyid) => site.forge({ envelope: edit((e) => ({ ...e, signatures: [{ ...e.signatures[0], keyid }] })) }),
	),
);

/** Counting signatures: the same key once or often, strangers, revoked ones; never enough of different trusted keys. */
const a11 = family(
	"A11",
	"one key counted twice, or strangers counted, toward a threshold",
	variant(
		"signatures of a bundle",
		"E_THRESHOLD",
		fc.record({
			threshold: fc.integer({ min: 2, max: 3 }),
			strangers: fc.nat(4),
			times: fc.integer({ min: 1, max: 8 }),
		}),
		async (site, { threshold, strangers, times }) => {
			const offer = await site.forge({
				envelope: edit((e) => ({
					...e,
					signatures: [
						...Array(times).fill(e.signatures[0]),
						...Array(strangers).fill({ ...e.signatures[0], keyid: site.stranger.keyId }),
					],
				})),
			});
			return { ...offer, trust: { keys: [site.signer, site.second, site.rsa], threshold } };
		},
	),
	variant(
		"two signatures by one key, not the same",
		"E_THRESHOLD",
		fc.integer({ min: 2, max: 16 }),
		async (site, n) => {
			let payload: Buffer = Buffer.alloc(0);
			const offer = await site.forge({
				payload: (p) => {
					payload = p;
					return p;
				},
				envelope: edit((e) => ({
					...e,
					signatures: Array.from({ length: n }, () =>
						entry(site.signer, raw(site.signer, pae(PAYLOAD_TYPE.bundleIndex, payload))),
					),
				})),
			});
			return { ...offer, trust: { keys: [site.signer, site.second], threshold: 2 } };
		},
	),
	variant("signatures of a release", "E_THRESHOLD", fc.integer({ min: 1, max: 16 }), async (site, n) => {
		const content = await site.content();
		const payload = Buffer.from(JSON.stringify(await site.payload()));
		const envelope = await signEnvelope(PAYLOAD_TYPE.contentRelease, payload, site.signer);
		const signatures = Array(n).fill(envelope.signatures[0]);
		await writeFile(join(content, "release.dsse.json"), JSON.stringify({ ...envelope, signatures }));
		return { content, trust: { keys: [site.signer, site.second], threshold: 2 } };
	}),
);

const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const zeros = (n: number) => Buffer.alloc(n);

/** What can be done to a right ECDSA signature so that some verifier still takes it. */
const odd = fc.oneof(
	fc.constantFrom(0n, ORDER, ORDER + 1n, ORDER - 1n, -1n, 1n).chain((v) =>
		fc.constantFrom("r", "s", "both").map((which) => ({
			what: `${which} = ${v}`,
			bend: (sig: Buffer) => {
				const { r, s } = readPair(sig);
				const bad = integer(v);
				return der(0x30, Buffer.concat([which === "s" ? der(0x02, r) : bad, which === "r" ? der(0x02, s) : bad]));
			},
		})),
	),
	fc.constantFrom("r", "s").map((which) => ({
		what: `${which} + n`,
		bend: (sig: Buffer) => {
			const { r, s } = readPair(sig);
			const more = (b: Buffer) => integer(BigInt(`0x${b.toString("hex")}`) + ORDER);
			return der(0x30, Buffer.concat([which === "r" ? more(r) : der(0x02, r), which === "s" ? more(s) : der(0x02, s)]));
		},
	})),
	fc
		.integer({ min: 1, max: 9 })
		.map((n) => ({ what: `${n} bytes behind`, bend: (sig: Buffer) => Buffer.concat([sig, zeros(n)]) })),
	fc.integer({ min: 1, max: 9 }).map((n) => ({
		what: `${n} zeros in front of r`,
		bend: (sig: Buffer) => {
			const { r, s } = readPair(sig);
			return der(
				0x30,
				Buffer.concat([
					der(0x02, Buffer.concat([zeros(n), r[0] === 0 ? r : Buffer.concat([zeros(1), r])])),
					der(0x02, s),
				]),
			);
		},
	})),
	fc.constant({
		what: "a length in long form",
		bend: (sig: Buffer) => Buffer.concat([Buffer.from([0x30, 0x81]), sig.subarray(1)]),
	}),
	fc.constant({
		what: "an indefinite length",
		bend: (sig: Buffer) => Buffer.concat([Buffer.from([0x30, 0x80]), sig.subarray(2), zeros(2)]),
	}),
	fc
		.uint8Array({ maxLength: 140 })
		.map((bytes) => ({ what: `bytes ${Buffer.from(bytes).toString("hex")}`, bend: () => Buffer.from(bytes) })),
	place.map((at) => ({ what: `cut ${at}`, bend: (sig: Buffer) => sig.subarray(0, pick(at, sig.length)) })),
	place.map((at) => ({
		what: `flip ${at}`,
		bend: (sig: Buffer) => {
			const bad = Buffer.from(sig);
			bad[pick(at, sig.length)]! ^= 1 << (at % 8);
			return bad;
		},
	})),
);

const a12 = family(
	"A12",
	"signatures that are not in their one form, or are nobody's",
	variant("of the file", "E_SIG_INVALID", odd, (site, { bend }) =>
		signedBy(site, (file) => bend(raw(site.signer, file))),
	),
	variant("of the index", "E_SIG_INVALID", odd, (site, { bend }) =>
		envelopeBy(site, (p) => entry(site.signer, bend(raw(site.signer, pae(PAYLOAD_TYPE.bundleIndex, p))))),
	),
	variant("with another hash", "E_SIG_INVALID", fc.constantFrom("sha1", "sha384", "sha512"), (site, hash) =>
		signedBy(site, (file) => sign(hash, file, site.signer.privateKey)),
	),
);

export const signatureFamilies: readonly Family[] = [a08, a09, a10, a11, a12];
