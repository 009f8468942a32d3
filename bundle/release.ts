import { sha256Hex } from "./digest.ts";
import { type EnvelopeSigner, parseEnvelope, type Role, signEnvelope, verifyEnvelope } from "./dsse.ts";
import { SlipwayError } from "./errors.ts";
import { parseDocument } from "./index-check.ts";
import { type ContentRelease, contentRelease, type IsoRelease, isoRelease, PAYLOAD_TYPE } from "./index-schema.ts";
import type { z } from "./zod.ts";

/** Size of a release file, at most. */
export const MAX_RELEASE = 4 * 1024 * 1024;

export interface ReadRelease<T> {
	readonly release: T;
	/** SHA-256 of the payload, hex: the identity of the release. */
	readonly digest: string;
	readonly development: boolean;
	readonly keys: string[];
}

/** The bytes of `release.dsse.json`: a content release, checked and signed. Errors: E_RELEASE, E_TEXT, E_KEY_MISSING. */
export async function makeRelease(payload: ContentRelease, signer: EnvelopeSigner): Promise<Buffer> {
	checkBundles(payload);
	return make(payload, contentRelease, "content release", PAYLOAD_TYPE.contentRelease, signer);
}

/**
 * Verifies, then parses, a content release.
 * Errors: E_LIMIT, E_JSON_STRICT, E_DENIED, E_RELEASE, E_FORMAT, and those of verifyEnvelope.
 */
export function readRelease(bytes: Uint8Array, role: Role): ReadRelease<ContentRelease> {
	const read = readDocument(bytes, contentRelease, "content release", PAYLOAD_TYPE.contentRelease, role);
	checkBundles(read.release);
	return read;
}

/** The bytes of `iso-release.dsse.json`. Errors: as makeRelease. */
export async function makeIsoRelease(payload: IsoRelease, signer: EnvelopeSigner): Promise<Buffer> {
	checkFiles(payload);
	return make(payload, isoRelease, "ISO release", PAYLOAD_TYPE.isoRelease, signer);
}

/** Verifies, then parses, an ISO release. Errors: as readRelease. */
export function readIsoRelease(bytes: Uint8Array, role: Role): ReadRelease<IsoRelease> {
	const read = readDocument(bytes, isoRelease, "ISO release", PAYLOAD_TYPE.isoRelease, role);
	checkFiles(read.release);
	return read;
}

async function make<T>(
	value: T,
	schema: z.ZodType<T>,
	what: string,
	type: string,
	signer: EnvelopeSigner,
): Promise<Buffer> {
	const payload = Buffer.from(JSON.stringify(value));
	parseDocument(payload, schema, what, "E_RELEASE");
	const file = Buffer.from(`${JSON.stringify(await signEnvelope(type, payload, signer))}\n`);
	limit(file, what);
	return file;
}

function readDocument<T>(
	bytes: Uint8Array,
	schema: z.ZodType<T>,
	what: string,
	type: string,
	role: Role,
): ReadRelease<T> {
	limit(bytes, what);
	const { envelope, payload } = parseEnvelope(bytes);
	const { keys, development } = verifyEnvelope(envelope, payload, type, role);
	const digest = sha256Hex(payload);
	if (role.denyIndexes.has(digest)) throw new SlipwayError("E_DENIED", `The ${what} is on the denylist (${digest}).`);
	return { release: parseDocument(payload, schema, what, "E_RELEASE"), digest, development, keys };
}

function limit(bytes: Uint8Array, what: string): void {
	if (bytes.length > MAX_RELEASE)
		throw new SlipwayError("E_LIMIT", `The ${what} has ${bytes.length} bytes; 4 MiB are allowed.`);
}

/** A release names each bundle once: a name on a box is one bundle. */
function checkBundles({ bundles }: ContentRelease): void {
	refuseTwice(
		bundles.map((b) => b.indexDigest),
		"bundle",
	);
	refuseTwice(
		bundles.map((b) => `${b.name} (${b.arch}, fips ${b.fips})`),
		"bundle",
	);
}

function checkFiles({ files }: IsoRelease): void {
	refuseTwice(
		files.map((f) => f.path),
		"file",
	);
}

function refuseTwice(values: readonly string[], what: string): void {
	const seen = new Set<string>();
	const twice = values.find((value) => seen.size === seen.add(value).size);
	if (twice !== undefined) throw new SlipwayError("E_RELEASE", `The release names the ${what} ${twice} twice.`);
}
