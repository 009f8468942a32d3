import { blobPath, sha256Hex } from "./digest.ts";
import { SlipwayError } from "./errors.ts";
import { maxCompressed } from "./frames.ts";
import { type BundleIndex, bundleIndex, isDigestIssue } from "./index-schema.ts";
import { parseStrictJson } from "./strict-json.ts";
import { END_SIZE, entryLength, headerLength, type TarEntry } from "./tar.ts";
import type { z } from "./zod.ts";

/** Features that a document may call critical and that this program knows: none in format 1. */
const KNOWN_CRITICAL: ReadonlySet<string> = new Set();

/**
 * Parses a signed document of ours: strict JSON, then format and `critical` (a newer document must say "too new", not
 * "unknown key"), then the schema. Errors: E_JSON_STRICT, E_FORMAT, E_LIMIT, E_TEXT, E_DIGEST_FORMAT, or `malformed`.
 */
export function parseDocument<T>(
	bytes: Uint8Array,
	schema: z.ZodType<T>,
	what: string,
	malformed: "E_INDEX" | "E_RELEASE" | "E_STATEMENT",
): T {
	const value = parseStrictJson(bytes);
	refuseNewer(value, what);
	const result = schema.safeParse(value);
	if (result.success) return result.data;
	const issue = result.error.issues[0]!;
	const where = issue.path.slice(0, 6).join(".");
	const code = codeOf(issue) ?? malformed;
	throw new SlipwayError(code, `The ${what} is not valid: ${where}${where === "" ? "" : ": "}${issue.message}.`);
}

function codeOf(issue: z.core.$ZodIssue): "E_LIMIT" | "E_TEXT" | "E_DIGEST_FORMAT" | undefined {
	if (issue.code === "too_big" && issue.origin === "array") return "E_LIMIT";
	if (issue.message === "printable ASCII only") return "E_TEXT";
	if (isDigestIssue(issue)) return "E_DIGEST_FORMAT";
	return undefined;
}

function refuseNewer(value: unknown, what: string): void {
	if (typeof value !== "object" || value === null) return;
	if ("format" in value && typeof value.format === "number" && value.format !== 1) {
		throw new SlipwayError("E_FORMAT", `The ${what} has format ${value.format}; this program knows format 1.`);
	}
	const critical = "critical" in value && Array.isArray(value.critical) ? value.critical : [];
	const unknown = critical.filter((c) => typeof c === "string" && !KNOWN_CRITICAL.has(c));
	if (unknown.length > 0)
		throw new SlipwayError(
			"E_FORMAT",
			`The ${what} needs features that this program does not know: ${JSON.stringify(unknown)}.`,
		);
}

/** Indexes that are in use, by the digest of their bytes: a start reads the same one in the store and on the medium. */
const parsed = new Map<string, WeakRef<BundleIndex>>();

/**
 * Parses an index payload and checks that it is in agreement with itself: packs and names, the order and offsets of the
 * tar, the frames and their sums. The result is shared: it must not be changed.
 * Errors: those of parseDocument; E_INDEX, E_ENTRY_DUP, E_NAME_CONFLICT, E_SIZE_EXCEEDED, E_FIPS_MIX, E_TARGET.
 */
export function parseIndex(payload: Uint8Array): BundleIndex {
	const digest = sha256Hex(payload);
	const known = parsed.get(digest)?.deref();
	if (known !== undefined) return known;
	for (const [key, index] of parsed) if (index.deref() === undefined) parsed.delete(key);
	const index = checkedIndex(payload);
	parsed.set(digest, new WeakRef(index));
	return index;
}

function checkedIndex(payload: Uint8Array): BundleIndex {
	const index = parseDocument(payload, bundleIndex, "bundle's index", "E_INDEX");
	checkNames(index);
	checkPacks(index);
	const spans = checkTarOffsets(index);
	checkFrames(index, spans);
	return index;
}

/** The tar's entries in order: files, then blobs. */
export function tarEntries(index: BundleIndex): TarEntry[] {
	return [
		...index.files.map(({ name, size }) => ({ name, size })),
		...index.blobs.map(({ digest, size }) => ({ name: blobPath(digest), size })),
	];
}

function refuse(what: string): never {
	throw new SlipwayError("E_INDEX", `The bundle's index is not valid: ${what}.`);
}

function checkNames(index: BundleIndex): void {
	const names = new Set<string>();
	for (const { ref } of index.names) {
		if (names.has(ref)) throw new SlipwayError("E_NAME_CONFLICT", `The index holds the name ${ref} twice.`);
		names.add(ref);
	}
	const brought = new Set(index.packs.flatMap((pack) => pack.names));
	for (const ref of brought) if (!names.has(ref)) refuse(`a pack brings ${ref}, which is not among the names`);
	for (const ref of names) if (!brought.has(ref)) refuse(`no pack brings the name ${ref}`);
}

/** A bundle is one machine's: nothing for another architecture or without FIPS may hide in it. */
function checkPacks(index: BundleIndex): void {
	for (const pack of index.packs) {
		if (pack.arch !== "any" && pack.arch !== index.arch) {
			throw new SlipwayError("E_TARGET", `The pack ${pack.name} is for ${pack.arch}, its bundle for ${index.arch}.`);
		}
		if (pack.fips === false && index.fips !== false) {
			throw new SlipwayError(
				"E_FIPS_MIX",
				`The pack ${pack.name} is without FIPS, its bundle says ${JSON.stringify(index.fips)}.`,
			);
		}
	}
}

interface Span {
	readonly start: number;
	readonly end: number;
	/** For a blob: the frame that the index says its entry begins in. */
	readonly frame: number | undefined;
}

/** Every offset follows from the sizes alone, so the index may only repeat it. */
function checkTarOffsets(index: BundleIndex): Span[] {
	if (index.files.map((f) => f.name).join() !== "oci-layout,index.json")
		refuse("the files are not oci-layout and index.json");
	if (new Set(index.blobs.map((b) => b.digest)).size !== index.blobs.length) {
		throw new SlipwayError("E_ENTRY_DUP", "The index holds a blob twice.");
	}
	const records = [...index.files.map((f) => ({ ...f, frame: undefined })), ...index.blobs];
	const spans: Span[] = [];
	let at = 0;
	for (const [i, entry] of tarEntries(index).entries()) {
		const record = records[i]!;
		if (record.tarOffset !== at + headerLength(entry))
			refuse(`${entry.name} does not stand at tar offset ${record.tarOffset}`);
		spans.push({ start: at, end: at + entryLength(entry), frame: record.frame });
		at += entryLength(entry);
		if (!Number.isSafeInteger(at)) refuse("the tar is larger than 2^53-1 bytes");
	}
	spans.push({ start: at, end: at + END_SIZE, frame: undefined });
	return spans;
}

/**
 * Frames cover the tar exactly; each holds whole entries, or lies inside one. So a blob's frames depend on that blob alone.
 */
function checkFrames(index: BundleIndex, spans: readonly Span[]): void {
	let compressedSum = 0;
	let at = 0;
	let s = 0;
	for (const [i, [compressed, plain]] of index.frames.entries()) {
		if (compressed > maxCompressed(plain)) {
			throw new SlipwayError("E_SIZE_EXCEEDED", `Frame ${i} claims ${compressed} bytes for ${plain} plain ones.`);
		}
		compressedSum += compressed;
		const end = at + plain;
		if (s < spans.length && at > spans[s]!.start) {
			if (end > spans[s]!.end) refuse(`frame ${i} reaches beyond the blob that it continues`);
			if (end === spans[s]!.end) s += 1;
		} else {
			const first = s;
			for (; s < spans.length && spans[s]!.end <= end; s++) sameFrame(spans[s]!, i);
			if (s < spans.length && spans[s]!.start < end) {
				if (s > first) refuse(`frame ${i} holds the start of a blob behind another entry`);
				sameFrame(spans[s]!, i);
			}
		}
		at = end;
	}
	if (at !== spans.at(-1)!.end) refuse("the frames do not add up to the tar");
	if (compressedSum !== index.dataLength) refuse("the frames do not add up to dataLength");
}

function sameFrame(span: Span, i: number): void {
	if (span.frame !== undefined && span.frame !== i)
		refuse(`a blob that begins in frame ${i} is said to begin in frame ${span.frame}`);
}
