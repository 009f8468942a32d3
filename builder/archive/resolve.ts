import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { SlipwayError } from "../../bundle/errors.ts";
import { StageCache } from "../plan/cache.ts";
import type { Base } from "../profile/schema.ts";
import { mmdebstrap } from "../tools/mmdebstrap.ts";
import { run as plainRun, type Run } from "../tools/run.ts";
import { aptSources, findKeyring } from "./sources.ts";

/** What an archive offered when it was first asked: the signed Release files by digest, and the versions that apt would take. */
export const archiveResolve = z.strictObject({
	/** Sorted by suite; `date` in seconds. */
	inRelease: z.array(z.strictObject({ suite: z.string(), sha256: z.string(), date: z.int() })),
	/** Every package of the root image with its version. */
	packages: z.record(z.string(), z.string()),
	/** Packages whose files are only unpacked for the boot stage. */
	boot: z.record(z.string(), z.string()),
	resolvedAt: z.string(),
});
export type ArchiveResolve = z.infer<typeof archiveResolve>;

export interface ResolveRequest {
	readonly base: Base;
	readonly arch: "amd64" | "arm64";
	/** rootPackages() */
	readonly packages: readonly string[];
	/** bootPackages() */
	readonly boot?: readonly string[];
	readonly mirror: string | undefined;
	readonly keyring: string | undefined;
	/** Answers are kept in `resolve/` here, until `refresh`. */
	readonly cacheDir: string;
	readonly refresh: boolean;
	readonly signal?: AbortSignal;
	readonly log?: string;
}

/**
 * Asks the archive once which versions it has for a package set, and keeps the answer. A kept answer is used until `refresh`, so
 * that a build does not change under its user. Errors: those of mmdebstrap(), E_KEYRING.
 */
export async function resolveArchive(request: ResolveRequest, run: Run = plainRun): Promise<ArchiveResolve> {
	const kept = keptFile(request);
	const folder = dirname(kept);
	const known = request.refresh ? undefined : await keptResolve(request);
	if (known !== undefined) return known;
	const keyring = await findKeyring(request.base, request.keyring);
	await mkdir(folder, { recursive: true });
	// mmdebstrap mounts into it; a later build unmounts and removes it if this one is killed.
	const { folder: work, close } = await new StageCache(request.cacheDir).openWork(randomUUID());
	try {
		await ask(request, keyring, work, run);
		const answer = await readAnswer(work);
		await writeFile(join(work, "answer"), `${JSON.stringify(answer, null, "\t")}\n`);
		await rename(join(work, "answer"), kept);
		return answer;
	} finally {
		await close();
	}
}

/** The answer that is kept for a request, without asking any archive; undefined if there is none. */
export async function keptResolve(request: ResolveRequest): Promise<ArchiveResolve | undefined> {
	const kept: unknown = await readFile(keptFile(request), "utf8")
		.then(JSON.parse)
		.catch(() => undefined);
	return archiveResolve.safeParse(kept).data;
}

function keptFile(request: ResolveRequest): string {
	return join(request.cacheDir, "resolve", `${requestId(request)}.json`);
}

async function ask(request: ResolveRequest, keyring: string, out: string, run: Run): Promise<void> {
	const hook = join(import.meta.dirname, "resolve-hook.sh");
	await mmdebstrap(
		run,
		{
			suite: request.base.suite,
			arch: request.arch,
			variant: "custom",
			include: [],
			sources: aptSources(request.base, request.arch, request.mirror),
			keyring,
			target: "/dev/null",
			options: [`--customize-hook=${hook}`],
		},
		0,
		{
			env: {
				SLIPWAY_OUT: out,
				SLIPWAY_PACKAGES: request.packages.join(" "),
				SLIPWAY_BOOT_PACKAGES: (request.boot ?? []).join(" "),
				TMPDIR: out,
			},
			...(request.signal === undefined ? {} : { signal: request.signal }),
			...(request.log === undefined ? {} : { log: request.log }),
		},
	);
}

async function readAnswer(folder: string): Promise<ArchiveResolve> {
	const releases = (await readdir(folder)).filter((name) => name.endsWith("Release"));
	const inRelease = await Promise.all(releases.map(async (name) => parseRelease(await readFile(join(folder, name)))));
	const packages = parseInstall(await readFile(join(folder, "install.txt"), "utf8"));
	const boot = (await readFile(join(folder, "boot.txt"), "utf8")).trim().split("\n").filter(Boolean);
	return {
		inRelease: inRelease.sort((a, b) => (a.suite < b.suite ? -1 : 1)),
		packages,
		boot: Object.fromEntries(boot.map((line) => line.split(" ") as [string, string])),
		resolvedAt: new Date().toISOString(),
	};
}

/** Suite, digest and date (seconds) of a Release file. Errors: E_INTERNAL for one that has none. */
export function parseRelease(bytes: Buffer): ArchiveResolve["inRelease"][number] {
	const text = bytes.toString("utf8");
	const field = (name: string) => new RegExp(`^${name}: (.+)$`, "m").exec(text)?.[1]?.trim();
	const suite = field("Codename") ?? field("Suite");
	const date = Date.parse(field("Date") ?? "");
	if (suite === undefined || Number.isNaN(date))
		throw new SlipwayError("E_INTERNAL", "A Release file has no suite or date.");
	return { suite, sha256: createHash("sha256").update(bytes).digest("hex"), date: date / 1000 };
}

/** Versions out of `apt-get --simulate install`: lines such as `Inst libc6 (2.41-12 Debian:13.0/stable [amd64])`. */
export function parseInstall(text: string): Record<string, string> {
	const found = [...text.matchAll(/^Inst (\S+) (?:\[\S+\] )?\((\S+)/gm)].map((m) => [m[1]!, m[2]!] as const);
	return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Time that what comes from the archive alone is stamped with: the newest of its signed Release files, seconds. */
export function archiveEpoch(resolve: ArchiveResolve): number {
	return Math.max(...resolve.inRelease.map((release) => release.date));
}

function requestId({ base, arch, packages, boot, mirror }: ResolveRequest): string {
	const asked = [
		base.name,
		base.suite,
		base.components,
		base.archive.pockets,
		arch,
		[...packages].sort(),
		[...(boot ?? [])].sort(),
		mirror ?? "",
	];
	return createHash("sha256").update(JSON.stringify(asked)).digest("hex");
}
