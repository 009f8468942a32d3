import type { NameRecord } from "../../bundle/index-schema.ts";
import { isManifestType, parseManifest } from "../../bundle/oci.ts";
import type { BlobSource } from "./lookup.ts";
import type { ManifestEntry, Referrer, View } from "./view.ts";

interface Building {
	readonly tags: Map<string, string>;
	readonly manifests: Map<string, ManifestEntry>;
	readonly blobs: Map<string, number>;
	readonly referrers: Map<string, Referrer[]>;
}

interface Descriptor {
	readonly digest: string;
	readonly mediaType: string;
	readonly size: number;
}

/** Follows every name's manifests through verified blobs to what each repository holds. Errors: E_DIGEST_MISMATCH, E_OCI. */
export async function buildView(names: readonly NameRecord[], source: BlobSource): Promise<View> {
	const view = new Map<string, Building>();
	for (const name of names) {
		const { repository, tag } = splitRef(name.ref);
		const repo = view.get(repository) ?? {
			tags: new Map(),
			manifests: new Map(),
			blobs: new Map(),
			referrers: new Map(),
		};
		view.set(repository, repo);
		await add(repo, name, new Set(name.absent), source);
		if (tag !== undefined) repo.tags.set(tag, name.digest);
	}
	return view;
}

async function add(repo: Building, at: Descriptor, absent: ReadonlySet<string>, source: BlobSource): Promise<void> {
	if (repo.manifests.has(at.digest)) return;
	const document = parseManifest(await source.read(at.digest, at.size), at.mediaType);
	repo.manifests.set(at.digest, { mediaType: at.mediaType, size: at.size });
	if (document.subject !== undefined) {
		const artifactType =
			document.artifactType ?? (document.kind === "manifest" ? document.config.mediaType : undefined);
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
		if (absent.has(child.digest)) continue;
		if (isManifestType(child.mediaType)) await add(repo, child, absent, source);
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
