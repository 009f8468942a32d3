import type { NameRecord } from "../../bundle/index-schema.ts";
import { isManifestType, parseManifest } from "../../bundle/oci.ts";
import type { BlobSource } from "./lookup.ts";
import type { ManifestEntry, Referrer, View } from "./view.ts";

interface Building {
	readonly tags: Map<string, string>;
	readonly manifests: Map<string, ManifestEntry>;
	readonly blobs: Map<string, number>;
	readonly referrers: Map<string, Referrer[]>;
	readonly absent: Set<string>;
}

interface Descriptor {
	readonly digest: string;
	readonly mediaType: string;
	readonly size: number;
}

interface Walk {
	readonly absent: ReadonlySet<string>;
	readonly seen: Set<string>;
	readonly source: Pick<BlobSource, "read">;
}

/** Follows every name's manifests through verified blobs to what each repository holds. Errors: E_DIGEST_MISMATCH, E_OCI. */
export async function buildView(names: readonly NameRecord[], source: Pick<BlobSource, "read">): Promise<View> {
	const view = new Map<string, Building>();
	/** What has been walked, by repository and what was left out: another bundle may hold what one leaves out of an index. */
	const walked = new Map<string, Set<string>>();
	for (const name of names) {
		const { repository, tag } = splitRef(name.ref);
		const repo = view.get(repository) ?? {
			tags: new Map(),
			manifests: new Map(),
			blobs: new Map(),
			referrers: new Map(),
			absent: new Set(),
		};
		view.set(repository, repo);
		const key = [repository, ...name.absent.toSorted()].join(" ");
		const seen = walked.get(key) ?? new Set();
		walked.set(key, seen);
		await add(repo, name, { absent: new Set(name.absent), seen, source });
		if (tag !== undefined) repo.tags.set(tag, name.digest);
	}
	return view;
}

async function add(repo: Building, at: Descriptor, walk: Walk): Promise<void> {
	if (walk.seen.has(at.digest)) return;
	walk.seen.add(at.digest);
	const document = parseManifest(await walk.source.read(at.digest, at.size), at.mediaType);
	const isNew = !repo.manifests.has(at.digest);
	repo.manifests.set(at.digest, { mediaType: at.mediaType, size: at.size });
	if (document.subject !== undefined && isNew) {
		// An empty type counts as none, and only an image manifest has a config to fall back on.
		const artifactType =
			document.artifactType || (document.kind === "manifest" ? document.config.mediaType : undefined);
		const referrer: Referrer = {
			mediaType: at.mediaType,
			digest: at.digest,
			size: at.size,
			...(artifactType === undefined ? {} : { artifactType }),
			...(document.annotations === undefined ? {} : { annotations: document.annotations }),
		};
		repo.referrers.set(document.subject.digest, [...(repo.referrers.get(document.subject.digest) ?? []), referrer]);
	}
	if (document.kind === "manifest") {
		// Whatever media types they claim, these are leaves: only an index has manifests below it.
		for (const part of [document.config, ...document.layers]) repo.blobs.set(part.digest, part.size);
		return;
	}
	for (const child of document.manifests) {
		if (walk.absent.has(child.digest)) repo.absent.add(child.digest);
		else if (isManifestType(child.mediaType)) await add(repo, child, walk);
		else repo.blobs.set(child.digest, child.size);
	}
}

/** `host/path:tag` or `host/path@digest`; a colon before the last slash belongs to the host's port. */
export function splitRef(ref: string): { repository: string; tag: string | undefined } {
	const at = ref.indexOf("@");
	if (at >= 0) return { repository: ref.slice(0, at), tag: undefined };
	const colon = ref.lastIndexOf(":");
	return { repository: ref.slice(0, colon), tag: ref.slice(colon + 1) };
}
