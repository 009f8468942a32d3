/** What the registry may show: built from verified signed indexes, replaced as a whole at a commit. */
export type View = ReadonlyMap<string, Repository>;

export interface Repository {
	/** Tag → manifest digest. */
	readonly tags: ReadonlyMap<string, string>;
	readonly manifests: ReadonlyMap<string, ManifestEntry>;
	/** Config and layer blobs that the repository's manifests refer to: digest → size. */
	readonly blobs: ReadonlyMap<string, number>;
	/** Subject digest → manifests that refer to it, by digest. */
	readonly referrers: ReadonlyMap<string, readonly Referrer[]>;
	/** Children of kept image indexes that the bundles left out (image-spec 1.1, "sparse"); `manifests` goes before it. */
	readonly absent: ReadonlySet<string>;
}

export interface ManifestEntry {
	readonly mediaType: string;
	readonly size: number;
}

/** A descriptor as the referrers API lists it (distribution-spec 1.1, "Listing Referrers"). */
export interface Referrer extends ManifestEntry {
	readonly digest: string;
	readonly artifactType?: string;
	readonly annotations?: Readonly<Record<string, string>>;
}

/** Whether any repository shows that blob or manifest. */
export function holds(view: View, digest: string): boolean {
	return [...view.values()].some((repo) => repo.blobs.has(digest) || repo.manifests.has(digest));
}
