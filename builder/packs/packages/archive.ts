import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { SlipwayError } from "../../../bundle/errors.ts";
import { type ArchiveResolve, archiveResolve, readReleases } from "../../archive/answer.ts";
import { keyringDigest } from "../../archive/sources.ts";
import { StageCache } from "../../plan/cache.ts";
import type { Base } from "../../profile/schema.ts";
import { debFields } from "../../tools/dpkg.ts";
import type { Run, RunOptions } from "../../tools/run.ts";
import { ask } from "./ask.ts";

/** A downloaded package: its control fields and the file, by digest. */
const deb = z.strictObject({
	name: z.string(),
	version: z.string(),
	arch: z.string(),
	sha256: z.string().regex(/^[0-9a-f]{64}$/),
	fields: z.record(z.string(), z.string()),
});
export type Deb = z.infer<typeof deb>;

const packageSet = z.strictObject({ resolve: archiveResolve, debs: z.array(deb) });
/** Packages with everything they depend on, as the archive offered them at one time. */
export type PackageSet = z.infer<typeof packageSet>;

export interface FetchRequest {
	readonly base: Base;
	readonly arch: "amd64" | "arm64";
	readonly packages: readonly string[];
	readonly mirror: string | undefined;
	readonly keyring: string | undefined;
	readonly cacheDir: string;
	/** Ask the archive again although an answer is kept. */
	readonly refresh: boolean;
	/** Versions of an earlier build that must be used again. */
	readonly pinned?: ArchiveResolve | undefined;
	/** Token of Ubuntu Pro, for packages of its restricted archive. */
	readonly proTokenFile?: string | undefined;
}

export function debPath(cacheDir: string, sha256: string): string {
	return path.join(cacheDir, "debs", `${sha256}.deb`);
}

/**
 * Downloads packages and what they depend on through mmdebstrap, which checks the archive's signature; no maintainer script
 * is run, so it works for a foreign architecture too. The answer is kept in `<cache>/resolve/`, the files in `<cache>/debs/`.
 * Errors: those of mmdebstrap(), E_KEYRING, E_ARCHIVE_CHANGED when a pinned version is no longer offered.
 */
export async function fetchPackages(
	run: Run,
	request: FetchRequest,
	options: RunOptions = {},
): Promise<{ set: PackageSet; kept: boolean }> {
	const id = requestId(request, await keyringDigest(request.base, request.keyring));
	const kept = path.join(request.cacheDir, "resolve", `content-${id}.json`);
	if (!request.refresh) {
		const known = packageSet.safeParse(await readFile(kept, "utf8").then(JSON.parse, () => undefined));
		if (known.success && (await allThere(request.cacheDir, known.data))) return { set: known.data, kept: true };
	}
	const folder = path.join(request.cacheDir, "debs");
	await mkdir(folder, { recursive: true });
	await mkdir(path.dirname(kept), { recursive: true });
	const { folder: work, close } = await new StageCache(request.cacheDir).openWork(randomUUID());
	try {
		const set = await download(run, request, work, options);
		for (const { file, sha256 } of set.files) await rename(file, debPath(request.cacheDir, sha256));
		const answer = { resolve: set.resolve, debs: set.debs };
		await writeFile(path.join(work, "answer"), `${JSON.stringify(answer)}\n`);
		await rename(path.join(work, "answer"), kept);
		return { set: answer, kept: false };
	} finally {
		await close();
	}
}

async function download(run: Run, request: FetchRequest, work: string, options: RunOptions) {
	const { base, pinned } = request;
	await ask(run, request, work, options);
	const archives = path.join(work, "archives");
	const names = (await readdir(archives)).filter((name) => name.endsWith(".deb")).sort();
	const found = await Promise.all(names.map(async (name) => await describe(run, path.join(archives, name), options)));
	const versions = Object.fromEntries(found.map(({ deb }) => [deb.name, deb.version]));
	checkPins(versions, pinned, base);
	const fresh = {
		inRelease: await readReleases(path.join(work, "lists")),
		packages: versions,
		boot: {},
		resolvedAt: new Date().toISOString(),
	};
	return {
		resolve: pinned ?? fresh,
		debs: found.map(({ deb }) => deb),
		files: found.map(({ file, deb }) => ({ file, sha256: deb.sha256 })),
	};
}

async function describe(run: Run, file: string, options: RunOptions): Promise<{ file: string; deb: Deb }> {
	const hash = createHash("sha256");
	await pipeline(createReadStream(file), hash);
	const fields = await debFields(run, file, options);
	const { Package: name, Version: version, Architecture: arch } = fields;
	if (name === undefined || version === undefined || arch === undefined) {
		throw new SlipwayError("E_PACK", `${path.basename(file)} is not a package.`);
	}
	return { file, deb: { name, version, arch, sha256: hash.digest("hex"), fields } };
}

function checkPins(versions: Record<string, string>, pinned: ArchiveResolve | undefined, base: Base): void {
	if (pinned === undefined) return;
	const changed = Object.entries(versions).filter(([name, version]) => pinned.packages[name] !== version);
	if (changed.length === 0) return;
	const list = changed.map(([name, version]) => `${name} ${pinned.packages[name] ?? "(none)"} → ${version}`);
	throw new SlipwayError(
		"E_ARCHIVE_CHANGED",
		`The archive of ${base.title} has other packages now: ${list.join(", ")}.`,
	);
}

async function allThere(cacheDir: string, set: PackageSet): Promise<boolean> {
	const found = await Promise.all(
		set.debs.map((d) =>
			stat(debPath(cacheDir, d.sha256)).then(
				() => true,
				() => false,
			),
		),
	);
	return found.every(Boolean);
}

function requestId({ base, arch, packages, mirror, pinned }: FetchRequest, keyring: string): string {
	const { name, suite, components, archive, fips } = base;
	const { inRelease, packages: versions, files } = pinned ?? {};
	const pins = pinned === undefined ? "" : { inRelease, packages: versions, files };
	const asked = [name, suite, components, archive, fips, arch, [...packages].sort(), mirror ?? "", keyring, pins];
	return createHash("sha256").update(JSON.stringify(asked)).digest("hex");
}
