import { randomUUID } from "node:crypto";
import { stat } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { layoutInventory } from "../oci/layout.ts";
import { StageCache } from "../plan/cache.ts";
import { canonicalJson, sha256Of } from "../plan/canonical.ts";
import type { SourceHasher } from "../plan/sources.ts";
import type { PackCache } from "./cache.ts";
import type { PackContext, SourceResult } from "./context.ts";
import { localInputs, type PackDefinition } from "./definition.ts";
import { buildChart } from "./sources/chart.ts";
import { buildFiles } from "./sources/files.ts";
import { buildOciLayout } from "./sources/oci-layout.ts";
import { buildPackages } from "./sources/packages.ts";
import { buildRegistry } from "./sources/registry.ts";

/** Folders whose code decides what a pack looks like. */
const CODE = ["../packs", "../oci", "../tools", "../../bundle"].map((folder) =>
	path.resolve(import.meta.dirname, folder),
);

export interface PackTools {
	readonly cache: PackCache;
	readonly hasher: SourceHasher;
	/** Build again although the cache has it. */
	readonly refresh: boolean;
}

/**
 * Builds a pack, or takes it from the cache when it was built before from the same definition, files, packages, digests and
 * code. Errors: those of its source, each naming the pack; E_PACK for content without FIPS in a FIPS bundle.
 */
export async function buildPack(
	pack: PackDefinition,
	context: Omit<PackContext, "work">,
	{ cache, hasher, refresh }: PackTools,
): Promise<SourceResult & { readonly cached: boolean }> {
	if (context.fips && "fips" in pack && pack.fips === false) {
		const next =
			"Use content built with FIPS (`source: packages`), say `fips: n/a` for content without code, or build without FIPS.";
		throw new SlipwayError("E_PACK", `${pack.name} is not FIPS content and cannot be in a FIPS bundle.`, { next });
	}
	const id = await packId(pack, context, hasher);
	const known = refresh ? undefined : await cache.find(id);
	if (known !== undefined) return { ...known, cached: true };
	const work = await new StageCache(context.cacheDir).openWork(randomUUID());
	try {
		const result = await buildFrom(pack, { ...context, work: work.folder });
		// Asked again: resolving a tag may just have given it its lock.
		await cache.keep(await packId(pack, context, hasher), result);
		return { ...result, cached: false };
	} finally {
		await work.close();
	}
}

function buildFrom(pack: PackDefinition, context: PackContext): Promise<SourceResult> {
	switch (pack.source) {
		case "packages":
			return buildPackages(pack, context);
		case "oci-layout":
			return buildOciLayout(pack, context);
		case "files":
			return buildFiles(pack, context);
		case "chart":
			return buildChart(pack, context);
		case "registry":
			return buildRegistry(pack, context);
	}
}

async function packId(pack: PackDefinition, context: Omit<PackContext, "work">, hasher: SourceHasher): Promise<string> {
	const { bundle, arch, fips, base, folder, packageSet, lock, built } = context;
	const inputs = localInputs(pack).map(({ value }) => path.resolve(folder, value));
	const images =
		pack.source === "chart" ? Object.values(pack.images).map((name) => built.get(name)?.names[0] ?? null) : [];
	return sha256Of(
		canonicalJson({
			pack,
			bundle: { name: bundle.name, version: bundle.version },
			arch,
			fips,
			node: process.version,
			code: { ...(await hasher.digests(CODE)) },
			inputs: await inputDigests(pack, inputs, hasher),
			images,
			...(pack.source === "packages"
				? { base, epoch: context.epoch, debs: packageSet?.debs.map((deb) => deb.sha256) ?? [] }
				: {}),
			...(pack.source === "registry" ? { lock: lock.known(pack.image) ?? null } : {}),
		}),
	);
}

/** Digests of the local files that a pack is made from. The blobs of a layout have theirs in their names. */
async function inputDigests(pack: PackDefinition, inputs: readonly string[], hasher: SourceHasher) {
	const [layout] = inputs;
	if (pack.source !== "oci-layout" || layout === undefined || !(await stat(layout)).isDirectory()) {
		return { ...(await hasher.digests(inputs)) };
	}
	const small = ["index.json", "oci-layout"].map((name) => path.join(layout, name));
	return { ...(await hasher.digests(small)), blobs: await layoutInventory(layout) };
}
