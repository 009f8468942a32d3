import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { parseDetachedEnvelope } from "../../bundle/dsse.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { parseIndex } from "../../bundle/index-check.ts";
import type { BundleIndex } from "../../bundle/index-schema.ts";
import { readRelease } from "../../bundle/release.ts";
import type { Trust } from "../../bundle/trust.ts";
import { authenticateIndex } from "../../bundle/verify.ts";
import { buildView } from "../registry/build-view.ts";
import type { BlobSource } from "../registry/lookup.ts";
import type { View } from "../registry/view.ts";
import type { CommittedSet } from "../store/catalog.ts";
import type { Store } from "../store/store.ts";
import { checkFitness } from "./fitness.ts";
import { checkRoot, type SignedRelease } from "./release.ts";

/** A blob that is missing, and how that is told. */
export interface Lost {
	readonly digest: string;
	readonly error: SlipwayError;
}

export interface Committed {
	readonly release: SignedRelease;
	readonly bundles: readonly { readonly index: BundleIndex; readonly indexDigest: string }[];
	readonly view: View;
	/** Blobs that the store does not have any more: the rest is served, but that is not a whole set. */
	readonly lost: readonly Lost[];
}

/**
 * The committed set, proved anew: the signed release and indexes that the catalog points to are verified with the keys of
 * today, and every manifest must be there as it was recorded; of other blobs those that are not are named. So neither the
 * catalog nor the disk alone can make a name visible. Undefined when nothing is committed. `catalog` may be the kept previous
 * set instead. Errors: those of verification, checkFitness and reading, E_BLOB_MISSING (a manifest), E_DENIED, E_RELEASE_SET,
 * E_RELEASE_ROOT.
 */
export async function openCommitted(
	store: Store,
	source: BlobSource,
	trust: Trust,
	config: Pick<ApplianceConfig, "arch" | "fips">,
	rootId: string | null,
	catalog: CommittedSet | undefined = store.catalog,
): Promise<Committed | undefined> {
	if (catalog === undefined) return undefined;
	const bytes = await store.readSigned(`${catalog.release}.release.json`);
	const release = { ...readRelease(bytes, trust.release), bytes };
	if (release.digest !== catalog.release)
		throw new SlipwayError("E_RELEASE_SET", "The store's release is not its catalog's.");
	checkRoot(release.release, rootId);
	for (const bundle of release.release.bundles) {
		if (bundle.required && !catalog.bundles.includes(bundle.indexDigest)) {
			throw new SlipwayError("E_RELEASE_SET", `The required bundle ${bundle.name} is not in the store.`);
		}
	}
	const bundles: { index: BundleIndex; indexDigest: string }[] = [];
	for (const indexDigest of catalog.bundles) {
		if (!release.release.bundles.some((bundle) => bundle.indexDigest === indexDigest)) {
			throw new SlipwayError("E_RELEASE_SET", `The store's bundle ${indexDigest} is not in its release.`);
		}
		bundles.push(await readIndex(store, trust, indexDigest));
	}
	checkFitness(config, release.release, bundles); // the machine may be another one than when it was committed
	const lost: Lost[] = [];
	for (const { index } of bundles) lost.push(...(await findLost(store, index)));
	const names = bundles.flatMap(({ index }) => index.names);
	const errors = new Map(lost.map(({ digest, error }) => [digest, error]));
	const read = async (digest: string, size: number) => {
		const error = errors.get(digest);
		if (error !== undefined) throw error; // a manifest: without it nothing can be shown
		return source.read(digest, size);
	};
	const view = await buildView(names, { read });
	return { release, bundles, view, lost };
}

async function readIndex(store: Store, trust: Trust, name: string) {
	const payload = await store.readSigned(`${name}.index.json`);
	const envelope = parseDetachedEnvelope(await store.readSigned(`${name}.envelope.json`));
	const { indexDigest } = authenticateIndex(payload, envelope, trust);
	if (indexDigest !== name) throw new SlipwayError("E_DIGEST_MISMATCH", `The stored index ${name} is another one.`);
	return { index: parseIndex(payload), indexDigest };
}

async function findLost(store: Store, index: BundleIndex): Promise<Lost[]> {
	const lost = await store.adopt(index.blobs); // a disk that was copied is as good as the first
	return lost.map(({ digest }) => ({
		digest,
		error: new SlipwayError(
			"E_BLOB_MISSING",
			`The blob ${digest} of ${index.name} is missing in the store, or was changed.`,
			{ next: "Insert the medium: the blob is loaded again." },
		),
	}));
}
