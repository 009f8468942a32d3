import type { NameRecord, PackRecord } from "../../bundle/index-schema.ts";

/**
 * What every pack source yields. Blobs are put into the builder's blob folder (`<blobs>/<alg>/<hex>`, content-addressed,
 * written by temp + rename); the pack itself only says which names it brings. The bundle writer follows the manifests from
 * the names to collect the closure.
 */
export interface Pack extends Omit<PackRecord, "names"> {
	readonly names: readonly NameRecord[];
}
