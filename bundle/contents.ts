import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Closure, type ClosureBlob, closeNames } from "./closure.ts";
import { blobPath, type Digest, parseDigest } from "./digest.ts";
import { SlipwayError } from "./errors.ts";
import type { NameRecord, PackRecord } from "./index-schema.ts";
import { MAX_MANIFEST } from "./oci.ts";

/** What the builder's pack sources yield, as far as the writer cares. */
export interface WriterPack extends Omit<PackRecord, "names"> {
	readonly names: readonly NameRecord[];
}

export interface Contents {
	readonly packs: PackRecord[];
	/** By reference, in byte order; `platforms` and `absent` as they are in this bundle. */
	readonly names: NameRecord[];
	/** In the order of the tar: metadata by digest, then the rest by first reference. */
	readonly blobs: ClosureBlob[];
}

/**
 * Decides what a bundle of these packs holds: the names, and every blob that their manifests lead to. The same packs give
 * the same contents, whatever else the blob folder holds: only a pack's own `absent` list leaves something out.
 * Errors: E_NAME_CONFLICT, E_BLOB_MISSING, E_DIGEST_MISMATCH, and those of closeNames.
 */
export async function collectContents(packs: readonly WriterPack[], blobDir: string): Promise<Contents> {
	const wanted = mergeNames(packs);
	const read = (blob: { digest: Digest; size: number }) => readManifest(blobDir, blob);
	const present = new Set([...(await closeNames(wanted, read)).values()].flatMap((c) => [...c.blobs.keys()]));
	// What one name leaves out another may bring; then it is not absent from the bundle.
	const absent = [...new Set(wanted.flatMap((name) => name.absent))].filter((digest) => !present.has(digest));
	const closures = await closeNames(
		wanted.map((name) => ({ ...name, absent })),
		read,
	);
	const names = wanted.map((name) => {
		const closure = closures.get(name.ref)!;
		return { ...name, platforms: [...closure.platforms], absent: [...closure.absent] };
	});
	return {
		names,
		packs: packs.map((pack) => ({ ...pack, names: pack.names.map((name) => name.ref) })),
		blobs: await orderBlobs(packs, closures, blobDir),
	};
}

function mergeNames(packs: readonly WriterPack[]): NameRecord[] {
	const byRef = new Map<string, { pack: string; name: NameRecord }>();
	for (const pack of packs) {
		for (const name of pack.names) {
			const known = byRef.get(name.ref);
			if (known === undefined) byRef.set(name.ref, { pack: pack.name, name });
			else if (known.name.digest !== name.digest) {
				throw new SlipwayError(
					"E_NAME_CONFLICT",
					`${name.ref} is ${known.name.digest} in the pack ${known.pack} and ${name.digest} in the pack ${pack.name}.`,
				);
			}
		}
	}
	return [...byRef.values()].map((n) => n.name).sort((a, b) => (a.ref < b.ref ? -1 : 1));
}

async function orderBlobs(
	packs: readonly WriterPack[],
	closures: ReadonlyMap<string, Closure>,
	blobDir: string,
): Promise<ClosureBlob[]> {
	const blobs = new Map<Digest, ClosureBlob>();
	for (const pack of packs) {
		for (const { ref } of pack.names) {
			for (const blob of closures.get(ref)!.blobs.values()) {
				const known = blobs.get(blob.digest);
				if (known !== undefined && known.size !== blob.size) {
					throw new SlipwayError("E_OCI", `Two manifests disagree about the size of ${blob.digest}.`);
				}
				if (known === undefined || (blob.metadata && !known.metadata)) blobs.set(blob.digest, blob);
			}
		}
	}
	await Promise.all([...blobs.values()].map((blob) => checkPresent(blobDir, blob)));
	const all = [...blobs.values()];
	return [
		...all.filter((b) => b.metadata).sort((a, b) => (a.digest < b.digest ? -1 : 1)),
		...all.filter((b) => !b.metadata),
	];
}

async function checkPresent(blobDir: string, { digest, size }: ClosureBlob): Promise<void> {
	const found = await stat(blobFile(blobDir, digest)).catch((cause: unknown) => {
		throw missing(digest, blobDir, cause);
	});
	if (found.size !== size) {
		throw new SlipwayError(
			"E_DIGEST_MISMATCH",
			`The blob ${digest} has ${found.size} bytes; its manifest says ${size}.`,
		);
	}
}

async function readManifest(blobDir: string, { digest, size }: { digest: Digest; size: number }): Promise<Buffer> {
	if (size > MAX_MANIFEST)
		throw new SlipwayError("E_LIMIT", `The manifest ${digest} has ${size} bytes; 4 MiB are allowed.`);
	const bytes = await readFile(blobFile(blobDir, digest)).catch((cause: unknown) => {
		throw missing(digest, blobDir, cause);
	});
	const { algorithm, hex } = parseDigest(digest);
	if (bytes.length !== size || createHash(algorithm).update(bytes).digest("hex") !== hex) {
		throw new SlipwayError("E_DIGEST_MISMATCH", `The bytes of ${digest} have another digest or size.`);
	}
	return bytes;
}

function missing(digest: Digest, blobDir: string, cause: unknown): SlipwayError {
	return new SlipwayError("E_BLOB_MISSING", `The blob ${digest} is not in ${blobDir}.`, { cause });
}

/** A blob's file in a blob folder: `<folder>/<algorithm>/<hex>`. Errors: E_DIGEST_FORMAT. */
export function blobFile(blobDir: string, digest: Digest): string {
	return join(blobDir, blobPath(digest).slice("blobs/".length));
}
