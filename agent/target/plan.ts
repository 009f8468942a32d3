import { sha256Hex } from "../../bundle/digest.ts";
import { type Descriptor, isManifestType, parseManifest, platformOf } from "../../bundle/oci.ts";
import type { BlobSource } from "../registry/lookup.ts";
import type { Referrer, Repository, View } from "../registry/view.ts";
import { type TargetAddress, targetNames } from "./address.ts";

/** A manifest of ours, and what must be in the target before it. */
export interface PlannedManifest {
	readonly digest: string;
	readonly mediaType: string;
	readonly size: number;
	/** Manifests of the same repository that it lists. */
	readonly children: readonly { readonly digest: string; readonly platform: string | undefined }[];
	/** Manifests that it lists and that are not here. */
	readonly absent: readonly Descriptor[];
	readonly subject: string | undefined;
}

export interface PlannedRepository {
	/** In the target, and here. */
	readonly name: string;
	readonly original: string;
	readonly manifests: ReadonlyMap<string, PlannedManifest>;
	/** Digest → size. */
	readonly blobs: ReadonlyMap<string, number>;
	readonly tags: ReadonlyMap<string, string>;
	readonly referrers: ReadonlyMap<string, readonly Referrer[]>;
}

/** What is to be in the target, derived from what the registry shows. Errors: E_TARGET_NAME, and those of the source. */
export async function planPush(view: View, source: BlobSource, address: TargetAddress): Promise<PlannedRepository[]> {
	const names = targetNames(address, view.keys());
	const planned: PlannedRepository[] = [];
	for (const [original, repo] of view) {
		const manifests = new Map<string, PlannedManifest>();
		for (const digest of repo.manifests.keys()) manifests.set(digest, await planManifest(repo, digest, source));
		const { blobs, tags, referrers } = repo;
		planned.push({ name: names.get(original)!, original, manifests, blobs, tags, referrers });
	}
	return planned;
}

async function planManifest(repo: Repository, digest: string, source: BlobSource): Promise<PlannedManifest> {
	const { mediaType, size } = repo.manifests.get(digest)!;
	const document = parseManifest(await source.read(digest, size), mediaType);
	const listed = document.kind === "index" ? document.manifests : [];
	const isHere = (child: Descriptor) => repo.manifests.has(child.digest) || repo.blobs.has(child.digest);
	return {
		...{ digest, mediaType, size },
		children: listed
			.filter((child) => isManifestType(child.mediaType) && repo.manifests.has(child.digest))
			.map((child) => ({ digest: child.digest, platform: platformOf(child) })),
		absent: listed.filter((child) => !isHere(child)),
		subject: document.subject?.digest,
	};
}

/** The manifests in waves: each comes after what it lists and what it is about. */
export function inWaves({ manifests }: PlannedRepository): PlannedManifest[][] {
	const ranks = new Map<string, number>();
	const rank = (digest: string): number => {
		const known = ranks.get(digest);
		if (known !== undefined) return known;
		const manifest = manifests.get(digest);
		if (manifest === undefined) return -1;
		const { children, subject } = manifest;
		const before = [...children.map((child) => child.digest), ...(subject === undefined ? [] : [subject])];
		const own = Math.max(-1, ...before.map(rank)) + 1;
		ranks.set(digest, own);
		return own;
	};
	const waves: PlannedManifest[][] = [];
	for (const manifest of manifests.values()) {
		const own = rank(manifest.digest);
		waves[own] = [...(waves[own] ?? []), manifest];
	}
	return waves;
}

/** Manifests that neither a tag nor another manifest leads to: names with a digest, and referrers. */
export function untaggedRoots({ manifests, tags }: PlannedRepository): PlannedManifest[] {
	const led = new Set(tags.values());
	for (const { children } of manifests.values()) for (const { digest } of children) led.add(digest);
	return [...manifests.values()].filter(({ digest }) => !led.has(digest));
}

/** The same for the same content in the same place, whatever the order. */
export function planId({ origin }: TargetAddress, plan: readonly PlannedRepository[]): string {
	const lines = plan.flatMap(({ name, tags, manifests }) => [
		...[...tags].map(([tag, digest]) => `${name}:${tag} ${digest}`),
		...[...manifests.keys()].map((digest) => `${name}@${digest}`),
	]);
	return sha256Hex([origin, ...lines.sort()].join("\n"));
}
