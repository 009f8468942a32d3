import { mkdir } from "node:fs/promises";
import path from "node:path";
import { type Closure, closeNames } from "../../bundle/closure.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { type WrittenBundle, writeBundle } from "../../bundle/writer.ts";
import { type ArchiveResolve, archiveEpoch } from "../archive/answer.ts";
import { BlobFolder } from "../oci/blob-folder.ts";
import { SourceHasher } from "../plan/sources.ts";
import type { Base } from "../profile/schema.ts";
import type { Signer } from "../signing/signer.ts";
import type { Run } from "../tools/run.ts";
import { buildPack } from "./build-pack.ts";
import { PackCache } from "./cache.ts";
import type { SourceResult } from "./context.ts";
import type { BundleDefinition, PackDefinition } from "./definition.ts";
import { Lock } from "./lock.ts";
import type { Pack } from "./pack.ts";
import { fetchPackages, type PackageSet } from "./packages/archive.ts";
import { archivePackages } from "./packages/wanted.ts";
import type { RegistryAccess } from "./registry/access.ts";

export interface BundleRequest {
	/** Project folder. */
	readonly root: string;
	readonly definition: BundleDefinition;
	readonly base: Base;
	readonly arch: "amd64" | "arm64";
	readonly fips: boolean;
	/** Follows the definition's version: `-dev.<epoch>` for a development key, else empty. */
	readonly versionSuffix: string;
	/** `created` of the bundle, seconds. */
	readonly epoch: number;
	readonly signer: Signer;
	readonly cacheDir: string;
	/** Folder for `<name>-<version>-<arch>[-fips].zst` and its signature. */
	readonly outDir: string;
	readonly mirror: string | undefined;
	readonly keyring: string | undefined;
	/** Package set that must be used again (an inputs file's). */
	readonly pinned?: ArchiveResolve | undefined;
	/** File with a token of Ubuntu Pro, for bases whose FIPS packages need one. */
	readonly proTokenFile?: string | undefined;
	/** Ask the archive again, and build packs again, although answers are kept. */
	readonly refresh: boolean;
	/** Resolve tags again and rewrite the lock. */
	readonly updateLock?: boolean;
	readonly registry: RegistryAccess;
	readonly run: Run;
	readonly signal?: AbortSignal | undefined;
	/** Told when a step begins; answers what is to be told when it ends. */
	readonly onStep?: (name: string, summary: string) => (cached: boolean) => void;
	/** Told about each pack when it is done. */
	readonly onPack?: (name: string, cached: boolean) => void;
	/** Bytes of the bundle that are written, and all of them. */
	readonly onProgress?: (done: number, total: number) => void;
}

export interface BuiltBundle extends WrittenBundle {
	/** Package set of the images, for the inputs file; undefined if no image is made from packages. */
	readonly resolve: ArchiveResolve | undefined;
}

const SUMMARY: Record<PackDefinition["source"], string> = {
	packages: "Build an image from packages",
	"oci-layout": "Take images from an OCI layout",
	files: "Take files",
	chart: "Pack a Helm chart",
	registry: "Pull an image from its registry",
};

/** Steps that buildBundle() tells about, for a display that counts them. */
export function stepCount({ packs }: BundleDefinition): number {
	return packs.length + 1 + Number(packs.some((pack) => pack.source === "packages"));
}

/**
 * Builds the packs of a definition and writes them as one signed bundle. Same inputs and signatures, same bytes.
 * Errors: E_FIPS_BASE, E_ARCH_BASE, E_PRO_TOKEN, E_PACK, E_NAME_CONFLICT, those of the sources, the archive and writeBundle().
 */
export async function buildBundle(request: BundleRequest): Promise<BuiltBundle> {
	const { definition, arch, fips, versionSuffix, signer, outDir } = request;
	checkBase(request);
	const blobs = new BlobFolder(path.join(request.cacheDir, "blobs"));
	const packageSet = await fetchSet(request);
	const results = await buildPacks(request, blobs, packageSet);
	const packs = results.map(({ pack }) => pack);
	const version = `${definition.version}${versionSuffix}`;
	await mkdir(outDir, { recursive: true });
	const done = request.onStep?.("bundle", "Write and sign the bundle");
	const { name, sequence, product, productVersions, cloudTypes, useCases, minAgent } = definition;
	const written = await writeBundle(
		{
			...{ name, version, sequence, arch, product, productVersions, cloudTypes, useCases, minAgent, packs },
			fips: fips || (packs.every((pack) => pack.fips === "n/a") ? "n/a" : false),
			created: new Date(request.epoch * 1000).toISOString().replace(".000Z", "Z"),
			requires: [],
			exceptions: results.flatMap(({ exceptions }) => exceptions),
			annotations: {},
			blobDir: blobs.dir,
			...(request.onProgress === undefined ? {} : { onProgress: request.onProgress }),
			...(request.signal === undefined ? {} : { signal: request.signal }),
		},
		path.join(outDir, `${name}-${version}-${arch}${fips ? "-fips" : ""}.zst`),
		signer,
	).catch(async (error: unknown) => {
		// A damaged blob must not stay in the cache, or the next build would meet it again.
		if (error instanceof SlipwayError && error.code === "E_DIGEST_MISMATCH") await dropDamaged(blobs, packs);
		throw error;
	});
	done?.(false);
	return { ...written, resolve: packageSet?.resolve };
}

async function dropDamaged(blobs: BlobFolder, packs: readonly Pack[]): Promise<void> {
	const names = packs.flatMap((pack) => pack.names);
	const closed = await closeNames(names, (blob) => blobs.read(blob.digest)).catch(() => new Map<string, Closure>());
	await blobs.dropDamaged(new Set([...closed.values()].flatMap((closure) => [...closure.blobs.keys()])));
}

async function fetchSet(request: BundleRequest): Promise<PackageSet | undefined> {
	const { definition, base, arch, fips, mirror, keyring, cacheDir, refresh, pinned, run, signal } = request;
	const packages = archivePackages(definition.packs, base, fips);
	if (packages.length === 0) return undefined;
	const done = request.onStep?.("archive", `Fetch packages of ${base.title}`);
	const proTokenFile = needsToken(request) ? request.proTokenFile : undefined;
	const wanted = { base, arch, packages, mirror, keyring, cacheDir, refresh, pinned, proTokenFile };
	const { set, kept } = await fetchPackages(run, wanted, signal === undefined ? {} : { signal });
	done?.(kept);
	return set;
}

/** Charts last, because they name the images; the answer is in the definition's order. */
async function buildPacks(
	request: BundleRequest,
	blobs: BlobFolder,
	packageSet: PackageSet | undefined,
): Promise<SourceResult[]> {
	const { root, definition, cacheDir, refresh, updateLock, arch, fips, base, registry, run, signal } = request;
	const folder = path.dirname(definition.file);
	const lock = await Lock.open(definition.file, updateLock === true);
	const hasher = new SourceHasher(root, cacheDir);
	const cache = new PackCache(cacheDir, blobs);
	// What comes from the archive is stamped with the archive's time, so that it does not change with each commit.
	const epoch = packageSet === undefined ? 0 : archiveEpoch(packageSet.resolve);
	const built = new Map<string, Pack>();
	const results = new Map<string, SourceResult>();
	const chartsLast = [...definition.packs].sort((a, b) => Number(a.source === "chart") - Number(b.source === "chart"));
	for (const pack of chartsLast) {
		const context = {
			bundle: definition,
			folder,
			arch,
			fips,
			base,
			epoch,
			blobs,
			cacheDir,
			run,
			signal,
			packageSet,
			lock,
			registry,
			built,
		};
		const done = request.onStep?.(pack.name, SUMMARY[pack.source]);
		const { cached, ...result } = await buildPack(pack, context, { cache, hasher, refresh });
		results.set(pack.name, result);
		built.set(pack.name, result.pack);
		request.onPack?.(pack.name, cached);
		done?.(cached);
	}
	await hasher.save();
	return definition.packs.map((pack) => results.get(pack.name)!);
}

function checkBase(request: BundleRequest): void {
	const { definition, base, arch, fips } = request;
	if (!base.arch.includes(arch)) throw new SlipwayError("E_ARCH_BASE", `${base.title} is not offered for ${arch}.`);
	if (!fips || !definition.packs.some((pack) => pack.source === "packages")) return;
	if (base.fips === null) throw new SlipwayError("E_FIPS_BASE", `${base.title} has no FIPS provider for images.`);
	if (needsToken(request) && (request.proTokenFile ?? "") === "") {
		throw new SlipwayError("E_PRO_TOKEN", `FIPS images from ${base.title} need packages of its restricted archive.`);
	}
}

/** As for the root image: wherever the public packages come from, the restricted ones come from the vendor. */
function needsToken({ base, fips }: BundleRequest): boolean {
	return fips && base.fips?.proToken === true;
}
