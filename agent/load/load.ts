import { SlipwayError } from "../../bundle/errors.ts";
import { verifyContents } from "../../bundle/verify.ts";
import { buildView } from "../registry/build-view.ts";
import type { BlobSource } from "../registry/lookup.ts";
import type { State } from "../status/state.ts";
import { isRefusal } from "../status/step.ts";
import type { Evidence } from "../store/evidence.ts";
import { Ingest } from "../store/ingest.ts";
import type { Store } from "../store/store.ts";
import type { Candidate } from "../trust/candidates.ts";
import { type ContentSet, commitSet } from "../trust/checks.ts";
import type { TrustLedger } from "../trust/ledger.ts";

export interface LoadOptions extends ContentSet {
	readonly state: State;
	readonly signal: AbortSignal;
}

/**
 * Verifies every bundle of the set and takes its blobs into the store, each bundle in one pass over its file; the catalog is
 * written, and with it the set becomes visible, only when every bundle is verified whole, signature file included, and
 * durable, and the registry's view can be built from it. On failure the store is as before, but for blobs nobody needs yet.
 * What an earlier load was cut short of is gone on with: blobs that are durable are neither read nor written again, only the
 * whole file is hashed for its signature. The signal stops it soon, with everything settled.
 * Errors: those of verifyContents and buildView, E_IO, E_NO_SPACE.
 */
export async function loadSet(
	store: Store,
	source: BlobSource,
	ledger: TrustLedger,
	{ release, candidates, state, signal }: LoadOptions,
): Promise<void> {
	const sizes = new Map(candidates.flatMap(({ index }) => index.blobs.map((b) => [b.digest, b] as const)));
	const present = new Set(sizes.keys());
	for (const { digest } of await store.untrusted([...sizes.values()])) present.delete(digest);

	const progress = startProgress(state, candidates);
	const ingest = new Ingest(store);
	let current = "";
	try {
		for (const candidate of candidates) {
			current = candidate.indexDigest;
			state.markBundle(candidate.indexDigest, "verifying");
			const taken: string[] = [];
			progress.present(candidate.index.blobs.filter(({ digest }) => present.has(digest)));
			await verifyContents(candidate.bundle, ledger.trust, {
				skip: (digest) => present.has(digest),
				onBlobData: (digest, pieces) => {
					progress.bytes(pieces);
					return ingest.write(digest, pieces);
				},
				digestOf: (digest) => ingest.digestOf(digest),
				provesRawByContent: true,
				onBlob: async (digest) => {
					progress.blob();
					taken.push(digest);
					await ingest.done(digest);
				},
				signal,
			});
			await ingest.settle();
			await keepIndex(store, candidate);
			for (const digest of taken) present.add(digest); // a later bundle may share it
			state.markBundle(candidate.indexDigest, "verified");
		}
	} catch (error) {
		state.markBundle(current, !signal.aborted && isRefusal(error) ? "bad" : "pending");
		throw error;
	} finally {
		await ingest.close();
	}
	await store.keepSigned(`${release.digest}.release.json`, release.bytes);
	const blobs: Record<string, Evidence> = {};
	for (const { digest, size } of sizes.values()) {
		const evidence = await store.trusted(digest, size);
		if (evidence === undefined)
			throw new SlipwayError("E_IO", `The blob ${digest} changed in the store during the load.`);
		blobs[digest] = evidence;
	}
	// What cannot be served must not replace what can.
	await buildView(
		candidates.flatMap(({ index }) => index.names),
		source,
	);
	await commitSet(ledger, store, { release, candidates }, blobs);
}

async function keepIndex(store: Store, { indexDigest, bundle }: Candidate): Promise<void> {
	await store.keepSigned(`${indexDigest}.index.json`, bundle.payload);
	await store.keepSigned(`${indexDigest}.envelope.json`, Buffer.from(JSON.stringify(bundle.envelope)));
}

function startProgress(state: State, candidates: readonly Candidate[]) {
	const blobs = candidates.flatMap(({ index }) => index.blobs);
	const bytesTotal = sum(blobs.map((blob) => blob.size));
	let now = { blobsDone: 0, blobsTotal: blobs.length, bytesDone: 0, bytesTotal };
	const set = (change: Partial<typeof now>) => {
		now = { ...now, ...change };
		state.update({ progress: now });
	};
	set({});
	return {
		/** Blobs that are in the store already. */
		present: (found: readonly { size: number }[]) =>
			set({ blobsDone: now.blobsDone + found.length, bytesDone: now.bytesDone + sum(found.map((b) => b.size)) }),
		bytes: (pieces: readonly Buffer[]) => set({ bytesDone: now.bytesDone + sum(pieces.map((p) => p.length)) }),
		blob: () => set({ blobsDone: now.blobsDone + 1 }),
	};
}

function sum(values: readonly number[]): number {
	return values.reduce((a, b) => a + b, 0);
}
