import { createHash } from "node:crypto";
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../../bundle/errors.ts";
import { type Descriptor, MEDIA_TYPE, parseManifest, platformOf } from "../../../bundle/oci.ts";
import { type ImportSource, importName } from "../../oci/import.ts";
import { copyToFolder, inspectRaw } from "../../tools/skopeo.ts";
import type { PackContext, SourceResult } from "../context.ts";
import type { PackOf } from "../definition.ts";
import { RegistryClient } from "../registry/client.ts";
import { clientSource, fetchReferrers } from "../registry/referrers.ts";

/** Of these skopeo is certain to copy every byte; anything else is an artifact. */
const IMAGE_CONFIGS = [MEDIA_TYPE.ociConfig, "application/vnd.docker.container.image.v1+json"] as readonly string[];
/** On the children of an index that describe another child (attestations of buildkit). */
const ABOUT = "vnd.docker.reference.digest";

/**
 * Pulls an image by digest, byte for byte, with what refers to it. A tag is resolved once and locked. A multi-arch index is
 * kept whole; children for other platforms are listed as absent.
 * Errors: E_REGISTRY_AUTH, E_REGISTRY_UNREACHABLE, E_PACK, E_OCI, E_DIGEST_MISMATCH.
 */
export async function buildRegistry(pack: PackOf<"registry">, context: PackContext): Promise<SourceResult> {
	const { image } = pack;
	const [, repo, digest] = /^(.+?)(?:@(.+)|:[^:/]+)$/.exec(image)!;
	const locked = digest ?? (await context.lock.resolve(image, async () => (await fetchRoot(image, context)).digest));
	const root = await fetchRoot(`${repo}@${locked}`, context);
	const platforms = pack.platforms ?? [`linux/${context.arch}`];
	const keep: ImportSource["keep"] = (child, siblings) => keeps(child, siblings, platforms);
	await pullImages(repo!, root, keep, context);
	const [host] = repo!.split("/");
	const client = await RegistryClient.open(host!, context.registry);
	const rest = clientSource(client, repo!.slice(host!.length + 1), context.blobs);
	const original = await importName(context.blobs, image, root, { ...rest, keep });
	const referrers = pack.referrers ? await fetchReferrers(client, original, context.blobs) : [];
	const names = [original, ...referrers].map((name) => ({ ...name, ref: renamed(name.ref, pack, repo!) }));
	const { name, layer, fips, licence } = pack;
	const version = pack.version ?? context.bundle.version;
	return { pack: { name, version, layer, arch: context.arch, fips, licence, names }, exceptions: [] };
}

/** With `as`, the image gets that name, and what refers to it the same repository. */
function renamed(ref: string, { as, image }: PackOf<"registry">, repo: string): string {
	if (as === undefined) return ref;
	return ref === image ? as : `${as.replace(/(@[^@]+|:[^:/]+)$/, "")}${ref.slice(repo.length)}`;
}

/**
 * Puts the manifest or index that a reference stands for into the blob folder.
 * Errors: E_REGISTRY_AUTH, E_REGISTRY_UNREACHABLE, E_DIGEST_MISMATCH, E_OCI.
 */
export async function fetchRoot(
	reference: string,
	context: Pick<PackContext, "run" | "registry" | "work" | "blobs" | "signal">,
): Promise<Descriptor> {
	const { run, registry, work, blobs, signal } = context;
	const file = path.join(work, "root.json");
	const expected = /@(.+)$/.exec(reference)?.[1];
	await inspectRaw(run, reference, file, registry, signal === undefined ? {} : { signal });
	const bytes = await readFile(file);
	await rm(file);
	const algorithm = expected?.split(":")[0] ?? "sha256";
	const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
	if (expected !== undefined && digest !== expected) {
		throw new SlipwayError("E_DIGEST_MISMATCH", `The registry gave ${digest} for ${reference}.`);
	}
	const descriptor = { mediaType: typeOf(bytes, reference), digest, size: bytes.length };
	await blobs.putStream([bytes], descriptor);
	return descriptor;
}

/** The media type that a manifest states, or, where OCI lets it leave that out, the one its members show. */
function typeOf(bytes: Buffer, reference: string): string {
	try {
		const { mediaType, manifests } = JSON.parse(bytes.toString("utf8")) as Record<string, unknown>;
		if (typeof mediaType === "string") return mediaType;
		return manifests === undefined ? MEDIA_TYPE.ociManifest : MEDIA_TYPE.ociIndex;
	} catch (cause) {
		throw new SlipwayError("E_OCI", `The registry gave no manifest for ${reference}.`, { cause });
	}
}

/**
 * Pulls the images that a manifest leads to through skopeo, each into a folder of its own, and moves every byte into the blob
 * folder. Artifacts, which skopeo does not copy, are left to the client.
 */
async function pullImages(
	repo: string,
	root: Descriptor,
	keep: ImportSource["keep"],
	context: PackContext,
): Promise<void> {
	const { blobs, registry, work, run, signal } = context;
	const manifest = parseManifest(await blobs.read(root.digest), root.mediaType);
	if (manifest.kind === "index") {
		for (const child of manifest.manifests) {
			if (!(await keep(child, manifest.manifests))) continue;
			await fetchRoot(`${repo}@${child.digest}`, context);
			await pullImages(repo, child, keep, context);
		}
		return;
	}
	const parts = [manifest.config, ...manifest.layers];
	const there = await Promise.all(parts.map((part) => blobs.has(part)));
	if (!IMAGE_CONFIGS.includes(manifest.config.mediaType) || there.every(Boolean)) return;
	const folder = path.join(work, "image");
	await mkdir(folder);
	await copyToFolder(run, `${repo}@${root.digest}`, folder, registry, signal === undefined ? {} : { signal });
	for (const part of parts) {
		const file = path.join(folder, part.digest.replace(/^.*:/, ""));
		if (await stat(file).catch(() => undefined)) await blobs.putFile(file, part);
	}
	await rm(folder, { recursive: true });
}

/** Children for the wanted platforms, and what is about one of those. */
function keeps(child: Descriptor, siblings: readonly Descriptor[], platforms: readonly string[] | "all"): boolean {
	if (platforms === "all") return true;
	const wanted = (one: Descriptor) => {
		const platform = platformOf(one);
		return platform !== undefined && platforms.some((p) => platform === p || platform.startsWith(`${p}/`));
	};
	const about = child.annotations?.[ABOUT];
	if (about === undefined) return wanted(child);
	return siblings.some((other) => other.digest === about && wanted(other));
}
