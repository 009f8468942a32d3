import { closeNames } from "../../bundle/closure.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import type { NameRecord } from "../../bundle/index-schema.ts";
import { type Descriptor, isManifestType, MAX_MANIFEST, parseManifest } from "../../bundle/oci.ts";
import type { BlobFolder } from "./blob-folder.ts";

type Known = Pick<Descriptor, "digest" | "size" | "mediaType">;

/** Where an import takes its bytes from. */
export interface ImportSource {
	/** Puts a blob into the folder, checked against its digest and size. */
	fetch(blob: Known): Promise<void>;
	/** Which children of a multi-arch index to bring. The index keeps its bytes; the others are listed as absent. */
	keep(child: Descriptor, siblings: readonly Descriptor[]): boolean | Promise<boolean>;
}

/**
 * Brings everything that a manifest or image index leads to into the blob folder, byte for byte, and answers the name's
 * record. Errors: E_PACK when no child of an index is left, E_OCI, E_DIGEST_MISMATCH.
 */
export async function importName(
	blobs: BlobFolder,
	ref: string,
	root: Known,
	source: ImportSource,
): Promise<NameRecord> {
	const absent = new Set<string>();
	const seen = new Set<string>();
	const visit = async (blob: Known): Promise<void> => {
		if (seen.has(blob.digest)) return;
		seen.add(blob.digest);
		if (isManifestType(blob.mediaType) && blob.size > MAX_MANIFEST) {
			throw new SlipwayError("E_LIMIT", `The manifest ${blob.digest} of ${ref} has more than 4 MiB.`);
		}
		if (!(await blobs.has(blob))) await source.fetch(blob);
		if (!isManifestType(blob.mediaType)) return;
		const manifest = parseManifest(await blobs.read(blob.digest), blob.mediaType);
		if (manifest.kind === "manifest") {
			for (const child of [manifest.config, ...manifest.layers]) await visit(child);
			return;
		}
		const kept: Descriptor[] = [];
		for (const child of manifest.manifests) {
			if (await source.keep(child, manifest.manifests)) kept.push(child);
			else absent.add(child.digest);
		}
		if (kept.length === 0) throw new SlipwayError("E_PACK", `${ref} has no image for the platforms asked for.`);
		for (const child of kept) await visit(child);
	};
	await visit(root);
	const { digest, mediaType, size } = root;
	const record = { ref, digest, mediaType, size, platforms: [], absent: [...absent].filter((d) => !seen.has(d)) };
	const closed = (await closeNames([record], (blob) => blobs.read(blob.digest))).get(ref)!;
	return { ...record, platforms: [...closed.platforms], absent: [...closed.absent] };
}

/** The manifests in a name's closure: what referrers may be about. */
export async function manifestsOf(blobs: BlobFolder, name: NameRecord): Promise<Known[]> {
	const closed = (await closeNames([name], (blob) => blobs.read(blob.digest))).get(name.ref)!;
	return [...closed.blobs.values()].filter((blob) => isManifestType(blob.mediaType));
}
