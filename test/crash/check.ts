import { createHash, createVerify } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { pae } from "../../bundle/dsse.ts";
import { filesBelow } from "./store-contents.ts";

/** What the agent had said by some moment, and nothing may undo. */
export interface Had {
	/** Of the committed release; 0: there was none. */
	readonly sequence: number;
	readonly floors: Readonly<Record<string, number>>;
	/** Statements taken in. */
	readonly statements: number;
}
export const HAD_NOTHING: Had = { sequence: 0, floors: {}, statements: 0 };

/** What must hold in a store. */
export interface Expected {
	/** PEM of the key that signs releases and indexes. */
	readonly publicKey: string;
	/** What must be there at least. */
	readonly had: Had;
	/** Blobs that are damaged through no fault of the agent. */
	readonly damaged?: readonly string[];
}

interface Descriptor {
	readonly digest: string;
	readonly size: number;
	readonly mediaType?: string;
}
interface Index {
	readonly blobs: readonly Descriptor[];
	readonly names: readonly { readonly digest: string; readonly absent: readonly string[] }[];
}
export interface CatalogSet {
	readonly release: string;
	readonly bundles: readonly string[];
	readonly blobs: Record<string, readonly [size: number, inode: string, ctime: string]>;
	readonly previous?: CatalogSet;
}

/** A load has a few blobs open and a few being made durable; a cut leaves no more than those. */
const MAX_GARBAGE = 16;

/**
 * Looks at a store (the folder in the configuration) and gives what is wrong, each with the invariant it breaks. This shares
 * no code with the agent's own reading of the store, so that a defect there cannot hide itself.
 */
export function faultsOf(store: string, expected: Expected): string[] {
	const faults: string[] = [];
	const folder = join(store, "store");
	const good = intactBlobs(folder, expected, faults);
	const text = readIfThere(join(folder, "catalog.json"));
	if (text === undefined) {
		if (expected.had.sequence > 0)
			faults.push(`I2: release ${expected.had.sequence} was committed, and there is no catalog`);
	} else {
		const catalog = parse(text.toString(), "I5: catalog.json", faults) as CatalogSet | undefined;
		for (let set = catalog; set !== undefined; set = set.previous) checkSet(folder, set, good, expected, faults);
		const sequence = catalog === undefined ? 0 : releaseOf(folder, catalog, expected, faults)?.sequence;
		if (sequence !== undefined && sequence < expected.had.sequence)
			faults.push(`I2: release ${expected.had.sequence} was committed, and the catalog has ${sequence}`);
	}
	checkTrust(store, expected.had, faults);
	const garbage = [...filesBelow(join(folder, "ingest")), ...filesBelow(store).filter((f) => f.endsWith(".new"))];
	if (garbage.length > MAX_GARBAGE) faults.push(`I7: ${garbage.length} unfinished files`);
	return faults;
}

/** I4, I5: floors and statements are whole, and none is lost or lower than it had been. */
function checkTrust(store: string, had: Had, faults: string[]): void {
	try {
		const now = floorsOf(store);
		for (const [key, sequence] of Object.entries(had.floors)) {
			if ((now[key] ?? 0) < sequence) faults.push(`I4: the floor "${key}" was ${sequence} and is ${now[key]}`);
		}
	} catch (error) {
		faults.push(`I5: the floors cannot be read: ${(error as Error).message}`);
	}
	const names = filesBelow(join(store, "state/trust/statements")).filter((name) => name.endsWith(".dsse.json"));
	if (names.length < had.statements)
		faults.push(`I2: ${had.statements} statements were taken in, ${names.length} are there`);
	for (const name of names) {
		const text = readFileSync(join(store, "state/trust/statements", name), "utf8");
		parse(text, `I5: the statement ${name}`, faults);
	}
}

/** The floors as they stand in the store; none when there is no such file. Throws when it is damaged. */
export function floorsOf(store: string): Record<string, number> {
	const [json, sum] = (readIfThere(join(store, "state/trust/floors.json"))?.toString() ?? "").split("\n");
	if (!json) return {};
	if (sha256(Buffer.from(json)) !== sum) throw new Error("their sum is wrong");
	const { floors } = JSON.parse(json) as { floors: [key: string, sequence: number, digest: string | null][] };
	return Object.fromEntries(floors);
}

/** The blobs that stand under their final names, each with bytes that hash to it: I1. */
function intactBlobs(folder: string, expected: Expected, faults: string[]): Map<string, number> {
	const good = new Map<string, number>();
	for (const file of filesBelow(join(folder, "blobs"))) {
		const [algorithm, prefix, hex] = file.split("/") as [string, string, string];
		const bytes = readFileSync(join(folder, "blobs", file));
		const found = createHash(algorithm).update(bytes).digest("hex");
		if (found === hex && hex.startsWith(prefix)) good.set(`${algorithm}:${hex}`, bytes.length);
		else if (!expected.damaged?.includes(`${algorithm}:${hex}`))
			faults.push(`I1: ${file} has ${bytes.length} bytes that hash to ${found}`);
	}
	return good;
}

/** I3: the release, its indexes and every blob that a name leads to are there, and look as the catalog says. */
function checkSet(
	folder: string,
	set: CatalogSet,
	good: Map<string, number>,
	expected: Expected,
	faults: string[],
): void {
	const release = releaseOf(folder, set, expected, faults);
	for (const { indexDigest, required } of release?.bundles ?? []) {
		if (required && !set.bundles.includes(indexDigest))
			faults.push(`I3: required bundle ${indexDigest} is not in the catalog`);
	}
	const isDamaged = (digest: string) => expected.damaged?.includes(digest) === true;
	const has = (digest: string) => good.has(digest) || isDamaged(digest);
	for (const bundle of set.bundles) {
		const payload = readIfThere(join(folder, "signed", `${bundle}.index.json`));
		const envelope = readIfThere(join(folder, "signed", `${bundle}.envelope.json`));
		if (payload === undefined || envelope === undefined) {
			faults.push(`I3: the signed index ${bundle} is missing`);
			continue;
		}
		if (sha256(payload) !== bundle || !isSigned(envelope, payload, expected)) {
			faults.push(`I3: the signed index ${bundle} is not what was signed`);
			continue;
		}
		const index = JSON.parse(payload.toString()) as Index;
		for (const { digest, size } of index.blobs) {
			if (!has(digest)) faults.push(`I3: ${digest} of ${bundle} is missing`);
			else if (!isDamaged(digest) && good.get(digest) !== size) faults.push(`I3: ${digest} has another size`);
		}
		for (const name of index.names) {
			checkClosure(folder, name.digest, new Set([...name.absent, ...(expected.damaged ?? [])]), has, faults);
		}
	}
	for (const [digest, seen] of Object.entries(set.blobs)) {
		if (isDamaged(digest) || !good.has(digest)) continue;
		const stat = statSync(blobPath(folder, digest), { bigint: true });
		// Else the next start would write the blob again.
		if (`${stat.size} ${stat.ino} ${stat.ctimeNs}` !== seen.join(" "))
			faults.push(`I2: ${digest} is not as the catalog saw it`);
	}
}

function checkClosure(
	folder: string,
	digest: string,
	absent: Set<string>,
	has: (d: string) => boolean,
	faults: string[],
): void {
	if (absent.has(digest)) return;
	if (!has(digest)) return void faults.push(`I3: a name leads to ${digest}, which is missing`);
	const bytes = readFileSync(blobPath(folder, digest));
	const manifest = parse(bytes.toString(), `I3: the manifest ${digest}`, faults) as
		| { manifests?: Descriptor[]; layers?: Descriptor[]; config?: Descriptor }
		| undefined;
	for (const child of manifest?.manifests ?? []) checkClosure(folder, child.digest, absent, has, faults);
	for (const blob of [...(manifest?.layers ?? []), ...(manifest?.config ? [manifest.config] : [])]) {
		if (!has(blob.digest)) faults.push(`I3: a manifest leads to ${blob.digest}, which is missing`);
	}
}

interface Release {
	readonly sequence: number;
	readonly bundles: readonly { readonly indexDigest: string; readonly required: boolean }[];
}

function releaseOf(folder: string, set: CatalogSet, expected: Expected, faults: string[]): Release | undefined {
	const bytes = readIfThere(join(folder, "signed", `${set.release}.release.json`));
	const envelope =
		bytes && (parse(bytes.toString(), "I3: the signed release", faults) as { payload: string } | undefined);
	const payload = Buffer.from(envelope?.payload ?? "", "base64");
	if (bytes !== undefined && sha256(payload) === set.release && isSigned(bytes, payload, expected))
		return JSON.parse(payload.toString()) as Release;
	faults.push(`I3: the signed release ${set.release} is missing or not what was signed`);
	return undefined;
}

function isSigned(envelope: Buffer, payload: Buffer, { publicKey }: Expected): boolean {
	const { payloadType, signatures } = JSON.parse(envelope.toString()) as {
		payloadType: string;
		signatures: { sig: string }[];
	};
	return signatures.some(({ sig }) =>
		createVerify("sha256").update(pae(payloadType, payload)).verify(publicKey, Buffer.from(sig, "base64")),
	);
}

export function blobPath(folder: string, digest: string): string {
	const [algorithm, hex] = digest.split(":") as [string, string];
	return join(folder, "blobs", algorithm, hex.slice(0, 2), hex);
}

function sha256(bytes: Buffer): string {
	return createHash("sha256").update(bytes).digest("hex");
}

function readIfThere(path: string): Buffer | undefined {
	return existsSync(path) ? readFileSync(path) : undefined;
}

function parse(text: string, what: string, faults: string[]): unknown {
	try {
		return JSON.parse(text);
	} catch {
		faults.push(`${what} does not parse`);
		return undefined;
	}
}
