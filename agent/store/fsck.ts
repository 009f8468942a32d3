import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type CommittedSet, setsOf } from "./catalog.ts";
import type { Pace } from "./check.ts";
import { readStoredIndex, readStoredRelease } from "./documents.ts";
import type { Evidence } from "./evidence.ts";
import { blobsOf, type Store } from "./store.ts";

export interface Fault {
	/** A blob's digest, or the name of a signed document. */
	readonly name: string;
	readonly fault: string;
	/** The damaged release is the one that is served, or the one before it. */
	readonly release: "current" | "previous";
}

export interface FsckReport {
	readonly mode: "quick" | "full";
	/** Nothing is bad or missing; what nothing needs is no damage. */
	readonly ok: boolean;
	/** Release digests of the sets that were checked. */
	readonly releases: readonly string[];
	readonly blobs: number;
	/** Bytes of blobs that were read. */
	readonly bytes: number;
	/** Blobs whose bytes are wrong; they are in quarantine. */
	readonly bad: readonly Fault[];
	readonly missing: readonly Fault[];
	/** Signed documents that are missing or not whole. */
	readonly documents: readonly Fault[];
	/** Files that nothing needs, as paths in the store: a collection removes what is a blob or a document. */
	readonly extra: readonly string[];
}

export interface FsckOptions {
	readonly mode: "quick" | "full";
	/** Takes a damaged blob out of the store. */
	readonly condemn: (digest: string, fault: string, seen?: Evidence) => Promise<unknown>;
	readonly pace?: Pace;
	readonly signal?: AbortSignal;
}

/**
 * Checks the store against its catalog, also while it serves. `quick`: signed documents are whole and agree with the catalog,
 * every blob looks as it was recorded, and one that does not is read whole. `full`: every byte is read and hashed. Memory:
 * a few pieces. Errors: of reading, where they say nothing about the bytes.
 */
export async function fsck(store: Store, options: FsckOptions): Promise<FsckReport> {
	const sets = setsOf(store.catalog);
	const documents = await checkDocuments(store);
	if (store.damage) documents.unshift({ name: "catalog.json", fault: store.damage.message, release: "current" });
	const damaged: (Fault & { missing: boolean })[] = [];
	const seen = new Set<string>();
	let bytes = 0;
	const pace: Pace = (count) => {
		options.signal?.throwIfAborted();
		bytes += count;
		return options.pace?.(count);
	};
	for (const [i, set] of sets.entries()) {
		const release = i === 0 ? "current" : "previous";
		const blobs = blobsOf(set).filter(({ digest }) => !seen.has(digest));
		const suspects = options.mode === "full" ? blobs : await store.untrusted(blobs);
		for (const { digest, size } of suspects) {
			const found = await store.check(digest, size, pace);
			if (found.fault === undefined || !store.needs(digest)) continue; // collected meanwhile
			await options.condemn(digest, found.fault, found.seen);
			damaged.push({ name: digest, fault: found.fault, release, missing: found.seen === undefined });
		}
		for (const { digest } of blobs) seen.add(digest);
	}
	const pick = (missing: boolean) =>
		damaged.filter((d) => d.missing === missing).map(({ name, fault, release }) => ({ name, fault, release }));
	return {
		mode: options.mode,
		ok: damaged.length + documents.length === 0,
		releases: sets.map((set) => set.release),
		blobs: seen.size,
		bytes,
		bad: pick(false),
		missing: pick(true),
		documents,
		extra: await strangers(store),
	};
}

/** What is wrong with the signed documents of the sets that the catalog names, and with their agreement with it. */
export async function checkDocuments(store: Store): Promise<Fault[]> {
	const found: Fault[] = [];
	for (const [i, set] of setsOf(store.catalog).entries()) {
		const release = i === 0 ? "current" : "previous";
		const faults = await documentFaults(store, set);
		if (store.needs(set.release)) found.push(...faults.map((fault) => ({ ...fault, release }) as const)); // else it has just gone
	}
	return found;
}

/** What is wrong with a set's signed documents, and with their agreement with the catalog. */
async function documentFaults(store: Store, set: CommittedSet): Promise<Omit<Fault, "release">[]> {
	const faults: Omit<Fault, "release">[] = [];
	const look = async (name: string, read: () => Promise<string | undefined>) => {
		const fault = await read().catch((error: Error) => error.message);
		if (fault !== undefined) faults.push({ name, fault });
	};
	await look(`${set.release}.release.json`, async () => {
		const { bundles } = await readStoredRelease(store, set.release);
		const stranger = set.bundles.find((digest) => bundles.every((bundle) => bundle.indexDigest !== digest));
		return stranger && `It does not name the bundle ${stranger}.`;
	});
	for (const digest of set.bundles) {
		await look(`${digest}.index.json`, async () => {
			const unknown = (await readStoredIndex(store, digest)).blobs.find((b) => set.blobs[b.digest]?.[0] !== b.size);
			return unknown && `The catalog does not have its blob ${unknown.digest}.`;
		});
	}
	return faults;
}

const OWN = new Set(["blobs", "signed", "ingest", "quarantine", "catalog.json", "journal"]);

/** Files that nothing needs. */
async function strangers(store: Store): Promise<string[]> {
	const found: string[] = [];
	const list = (path: string) => readdir(join(store.folder, path)).catch(() => []);
	for (const name of await list(".")) if (!OWN.has(name)) found.push(name);
	for (const name of await list("signed")) {
		const [digest, , end] = name.split(".");
		if (end !== "json" || name.endsWith(".new") || !store.needs(digest!)) found.push(`signed/${name}`);
	}
	if (!store.loading) found.push(...(await list("ingest")).map((name) => `ingest/${name}`));
	for (const algorithm of ["sha256", "sha512"]) {
		for (const prefix of await list(join("blobs", algorithm))) {
			for (const hex of await list(join("blobs", algorithm, prefix))) {
				if (!store.needs(`${algorithm}:${hex}`)) found.push(join("blobs", algorithm, prefix, hex));
			}
		}
	}
	return found.sort();
}
