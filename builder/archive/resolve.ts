import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { StageCache } from "../plan/cache.ts";
import type { Base } from "../profile/schema.ts";
import type { Arch } from "../tools/host-arch.ts";
import { mmdebstrap } from "../tools/mmdebstrap.ts";
import { run as plainRun, type Run } from "../tools/run.ts";
import { type ArchiveAnswer, type ArchiveResolve, archiveResolve, readAnswer } from "./answer.ts";
import { workshopPackages } from "./packages.ts";
import { aptSources, findKeyring, keyringDigest } from "./sources.ts";

export interface ResolveRequest {
	readonly base: Base;
	readonly arch: "amd64" | "arm64";
	/** rootPackages() */
	readonly packages: readonly string[];
	/** bootPackages() */
	readonly boot?: readonly string[];
	/** Packages of each content bundle that is made from packages, by the bundle's name; only askArchive() heeds them. */
	readonly content?: Readonly<Record<string, readonly string[]>>;
	readonly mirror: string | undefined;
	readonly keyring: string | undefined;
	/** Answers are kept in `resolve/` here, until `refresh`. */
	readonly cacheDir: string;
	readonly refresh: boolean;
	readonly signal?: AbortSignal;
	readonly log?: string;
}

/** The same archive, asked for the workshop of a host of this architecture. Pure. */
export function forWorkshop(request: ResolveRequest, host: Arch): ResolveRequest {
	return { ...request, arch: host, packages: workshopPackages(request.base), boot: [], content: {} };
}

/**
 * Asks the archive once which versions it has for a package set, and keeps the answer. A kept answer is used until `refresh`, so
 * that a build does not change under its user. Errors: those of mmdebstrap(), E_KEYRING.
 */
export async function resolveArchive(request: ResolveRequest, run: Run = plainRun): Promise<ArchiveResolve> {
	const kept = await keptFile(request);
	const folder = dirname(kept);
	const known = request.refresh ? undefined : await keptResolve(request);
	if (known !== undefined) return known;
	const { root } = await askArchive({ ...request, content: {} }, run);
	await mkdir(folder, { recursive: true });
	const temporary = `${kept}.${process.pid}.tmp`;
	await writeFile(temporary, `${JSON.stringify(root, null, "\t")}\n`);
	await rename(temporary, kept);
	return root;
}

/** Asks the archive now, keeps nothing. Errors: those of mmdebstrap(), E_KEYRING. */
export async function askArchive(request: ResolveRequest, run: Run = plainRun): Promise<ArchiveAnswer> {
	const keyring = await findKeyring(request.base, request.keyring);
	// mmdebstrap mounts into it; a later build unmounts and removes it if this one is killed.
	const { folder: work, close } = await new StageCache(request.cacheDir).openWork(randomUUID());
	try {
		const sets = { root: ["?essential", ...request.packages], ...prefixed(request.content ?? {}) };
		for (const [name, packages] of Object.entries(sets)) {
			await writeFile(join(work, `${name}.asked`), packages.join(" "));
		}
		await runHook(request, keyring, work, run);
		return await readAnswer(work, Object.keys(request.content ?? {}));
	} finally {
		await close();
	}
}

/** The answer that is kept for a request, without asking any archive; undefined if there is none, or no keyring that it was checked with. */
export async function keptResolve(request: ResolveRequest): Promise<ArchiveResolve | undefined> {
	const kept: unknown = await keptFile(request)
		.then((file) => readFile(file, "utf8"))
		.then(JSON.parse)
		.catch(() => undefined);
	return archiveResolve.safeParse(kept).data;
}

async function keptFile(request: ResolveRequest): Promise<string> {
	const keyring = await keyringDigest(request.base, request.keyring);
	return join(request.cacheDir, "resolve", `${requestId(request, keyring)}.json`);
}

/** A bundle may be named `root` too. */
function prefixed(content: Readonly<Record<string, readonly string[]>>): Record<string, readonly string[]> {
	return Object.fromEntries(Object.entries(content).map(([name, packages]) => [`content-${name}`, packages]));
}

async function runHook(request: ResolveRequest, keyring: string, out: string, run: Run): Promise<void> {
	const hook = join(import.meta.dirname, "resolve-hook.sh");
	await mmdebstrap(
		run,
		{
			suite: request.base.suite,
			arch: request.arch,
			variant: "custom",
			include: [],
			sources: aptSources(request.base, request.arch, request.mirror),
			components: request.base.components,
			keyring,
			target: "/dev/null",
			// Nothing of the root is run, so this host need not be able to.
			options: ["--skip=check/qemu", `--customize-hook=${hook}`],
		},
		0,
		{
			env: { SLIPWAY_OUT: out, SLIPWAY_BOOT_PACKAGES: (request.boot ?? []).join(" "), TMPDIR: out },
			...(request.signal === undefined ? {} : { signal: request.signal }),
			...(request.log === undefined ? {} : { log: request.log }),
		},
	);
}

function requestId({ base, arch, packages, boot, mirror }: ResolveRequest, keyring: string): string {
	const asked = [
		base.name,
		base.suite,
		base.components,
		base.archive.pockets,
		arch,
		[...packages].sort(),
		[...(boot ?? [])].sort(),
		mirror ?? base.archive.mirrors[arch] ?? "",
		keyring,
	];
	return createHash("sha256").update(JSON.stringify(asked)).digest("hex");
}
