import { SlipwayError } from "./errors.ts";
import type { NameRecord } from "./index-schema.ts";
import { type Descriptor, isManifestType, type Manifest, parseManifest, platformOf } from "./oci.ts";

/** What one name leads to. */
export interface Closure {
	/** Every blob, each once, in the order of first reference: manifest, then its config, layers or children. */
	readonly blobs: ReadonlyMap<string, ClosureBlob>;
	/** Children of image indexes that are left out, and platforms of those that are there. */
	readonly absent: readonly string[];
	readonly platforms: readonly string[];
}

export interface ClosureBlob extends Pick<Descriptor, "digest" | "size" | "mediaType"> {
	/** Manifests and configs: small, read first. */
	readonly metadata: boolean;
}

const MAX_NESTING = 8;

/** Bytes of all manifests together; what they parse to is held in memory. */
export const MAX_MANIFESTS = 64 * 1024 * 1024;

/**
 * Follows the manifests from the names. `read` gives a manifest's authentic bytes and is asked once per digest, level by
 * level and in ascending `position`, so that a reader of frames decodes each frame once per level. Children in a name's
 * `absent` list are not followed.
 * Errors: E_OCI, E_LIMIT, E_JSON_STRICT, and what `read` throws.
 */
export async function closeNames(
	names: readonly NameRecord[],
	read: (blob: Pick<Descriptor, "digest" | "size">) => Promise<Uint8Array>,
	position: (digest: string) => number = () => 0,
): Promise<Map<string, Closure>> {
	const manifests = new Map<string, { manifest: Manifest; size: number; mediaType: string }>();
	let bytesRead = 0;
	let level = names.map((name) => ({ name, descriptor: name as Pick<Descriptor, "digest" | "size" | "mediaType"> }));
	const asked = new Set<string>();
	/** Once for a name and a descriptor: an index may list one child any number of times, on every level. */
	const isNew = (name: NameRecord, { digest, size, mediaType }: Descriptor) =>
		asked.size < asked.add(`${name.ref} ${digest} ${size} ${mediaType}`).size;
	for (let depth = 0; level.length > 0; depth++) {
		if (depth > MAX_NESTING) throw tooDeep();
		level.sort((a, b) => position(a.descriptor.digest) - position(b.descriptor.digest));
		const next: typeof level = [];
		for (const { name, descriptor } of level) {
			const manifest = await load(descriptor);
			if (manifest.kind !== "index") continue;
			for (const child of manifest.manifests) {
				if (isFollowed(name, child) && isNew(name, child)) next.push({ name, descriptor: child });
			}
		}
		level = next;
	}
	return new Map(names.map((name) => [name.ref, collect(name)]));

	async function load({ digest, size, mediaType }: (typeof level)[number]["descriptor"]): Promise<Manifest> {
		const known = manifests.get(digest);
		if (known !== undefined) {
			if (known.size !== size || known.mediaType !== mediaType) throw disagree(digest);
			return known.manifest;
		}
		const bytes = await read({ digest, size });
		bytesRead += bytes.length;
		if (bytesRead > MAX_MANIFESTS)
			throw new SlipwayError("E_LIMIT", `The manifests have more than ${MAX_MANIFESTS / 2 ** 20} MiB together.`);
		const manifest = parseManifest(bytes, mediaType);
		manifests.set(digest, { manifest, size, mediaType });
		return manifest;
	}

	function collect(name: NameRecord): Closure {
		const blobs = new Map<string, ClosureBlob>();
		const absent = new Set<string>();
		const platforms = new Set<string>();
		const add = (
			{ digest, size, mediaType }: Pick<Descriptor, "digest" | "size" | "mediaType">,
			metadata: boolean,
		): boolean => {
			const known = blobs.get(digest);
			if (known === undefined) blobs.set(digest, { digest, size, mediaType, metadata });
			else if (known.size !== size) throw disagree(digest);
			return known === undefined;
		};
		const visit = (descriptor: Pick<Descriptor, "digest" | "size" | "mediaType">, depth: number) => {
			if (depth > MAX_NESTING) throw tooDeep();
			if (!add(descriptor, true)) return;
			const { manifest } = manifests.get(descriptor.digest)!;
			if (manifest.kind === "manifest") {
				add(manifest.config, true);
				for (const layer of manifest.layers) add(layer, false);
				return;
			}
			for (const child of manifest.manifests) {
				if (name.absent.includes(child.digest)) {
					absent.add(child.digest);
					continue;
				}
				const platform = platformOf(child);
				if (platform !== undefined) platforms.add(platform);
				if (isFollowed(name, child)) visit(child, depth + 1);
				else add(child, true); // OCI lets an index list things that are not manifests
			}
		};
		if (!isManifestType(name.mediaType))
			throw new SlipwayError("E_OCI", `${name.ref} is neither an image manifest nor an image index.`);
		visit(name, 0);
		return { blobs, absent: [...absent], platforms: [...platforms] };
	}
}

function isFollowed(name: NameRecord, child: Descriptor): boolean {
	return isManifestType(child.mediaType) && !name.absent.includes(child.digest);
}

function tooDeep(): SlipwayError {
	return new SlipwayError("E_OCI", `Image indexes are nested more than ${MAX_NESTING} deep.`);
}

function disagree(digest: string): SlipwayError {
	return new SlipwayError("E_OCI", `Two manifests disagree about the size or type of ${digest}.`);
}
