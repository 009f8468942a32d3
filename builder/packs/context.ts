import type { NameRecord } from "../../bundle/index-schema.ts";
import type { BlobFolder } from "../oci/blob-folder.ts";
import type { Descriptor } from "../oci/image.ts";
import type { Base } from "../profile/schema.ts";
import type { Run } from "../tools/run.ts";
import type { BundleDefinition } from "./definition.ts";
import type { Lock } from "./lock.ts";
import type { Pack } from "./pack.ts";
import type { PackageSet } from "./packages/archive.ts";
import type { RegistryAccess } from "./registry/access.ts";

/** What a pack source may use. */
export interface PackContext {
	readonly bundle: BundleDefinition;
	/** Folder that the definition's paths start from. */
	readonly folder: string;
	readonly arch: "amd64" | "arm64";
	readonly fips: boolean;
	readonly base: Base;
	/** Time that everything made here is stamped with, seconds. */
	readonly epoch: number;
	readonly blobs: BlobFolder;
	readonly cacheDir: string;
	/** Empty scratch folder of this pack. */
	readonly work: string;
	readonly run: Run;
	readonly signal?: AbortSignal | undefined;
	/** The bundle's packages with what they depend on; undefined if no pack has `source: packages`. */
	readonly packageSet: PackageSet | undefined;
	readonly lock: Lock;
	readonly registry: RegistryAccess;
	/** Packs of the bundle that are built already: images come before charts. */
	readonly built: ReadonlyMap<string, Pack>;
}

/** What a source answers: the pack, and what the signed index should say about it under `exceptions`. */
export interface SourceResult {
	readonly pack: Pack;
	readonly exceptions: readonly string[];
}

/** `slipway.local/<bundle>[-fips]/<pack>`: FIPS and other content never share a name. */
export function repository(bundle: string, fips: boolean, pack: string): string {
	return `slipway.local/${bundle}${fips ? "-fips" : ""}/${pack}`;
}

/** The record of a name that leads to one image or artifact. */
export function nameOf(ref: string, { digest, mediaType, size }: Descriptor): NameRecord {
	return { ref, digest, mediaType, size, platforms: [], absent: [] };
}
