import { randomUUID } from "node:crypto";
import { copyFile, cp, mkdir, readdir, readFile, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { sha256Hex } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { inArchive, suiteOf } from "../archive/answer.ts";
import { pinEnv, pinLines, pinOptions } from "../archive/pins.ts";
import type { ResolveRequest } from "../archive/resolve.ts";
import { aptSources, findKeyring } from "../archive/sources.ts";
import { asResolve, type BaseLock, type LockedSet } from "../lock/lock-file.ts";
import { StageCache } from "../plan/cache.ts";
import { DamagedPackage, mmdebstrap } from "../tools/mmdebstrap.ts";
import { run } from "../tools/run.ts";

export interface MirrorRequest extends Pick<ResolveRequest, "base" | "mirror" | "keyring" | "cacheDir"> {
	readonly lock: BaseLock;
	/** Made by this; it may be there, but empty. */
	readonly folder: string;
	readonly signal: AbortSignal;
}

/**
 * Fetches what a lock names into a folder laid out as an archive: the packages, and the signed Release files and indices as they
 * are, so that apt checks them as ever; `keyring.gpg` is the keyring they were checked with. The folder appears whole or not at all.
 * Errors: E_USAGE for a folder that holds something; those of mmdebstrap(); E_DIGEST_MISMATCH.
 */
export async function makeMirror(request: MirrorRequest): Promise<{ packages: number; bytes: number }> {
	const { base, lock, folder } = request;
	if ((await readdir(folder).catch(() => [])).length > 0)
		throw new SlipwayError("E_USAGE", `The folder ${folder} is not empty.`, {
			next: "Name one that is not there yet.",
		});
	const keyring = await findKeyring(base, request.keyring);
	const { folder: work, close } = await new StageCache(request.cacheDir).openWork(randomUUID());
	const partial = `${folder}.partial-${process.pid}`;
	try {
		await mkdir(partial, { recursive: true });
		const files = new Map<string, LockedSet[string]>();
		for (const part of partsOf(lock)) {
			const fetched = join(work, part.arch);
			await mkdir(fetched);
			await fetch(request, part, keyring, fetched);
			await placePackages(part, join(fetched, "archives"), partial);
			await placeIndices(fetched, partial);
			for (const file of Object.values(part.packages)) files.set(file.path, file);
		}
		await copyFile(keyring, join(partial, "keyring.gpg"));
		await rmdir(folder).catch(() => undefined);
		await rename(partial, folder);
		return { packages: files.size, bytes: [...files.values()].reduce((sum, { size }) => sum + size, 0) };
	} finally {
		await rm(partial, { recursive: true, force: true });
		await close();
	}
}

/** What is asked of the archive for one architecture. */
type Part = Pick<BaseLock, "arch" | "inRelease"> & { readonly packages: LockedSet };

function partsOf(lock: BaseLock): Part[] {
	const packages = Object.assign({}, ...Object.values(lock.content), lock.boot, lock.root);
	return [{ ...lock, packages }, ...(lock.workshop === undefined ? [] : [lock.workshop])];
}

async function fetch(
	{ base, mirror, signal }: MirrorRequest,
	part: Part,
	keyring: string,
	work: string,
): Promise<void> {
	const request = {
		...({ suite: base.suite, arch: part.arch, variant: "custom", include: [], target: "/dev/null" } as const),
		sources: aptSources(base, part.arch, mirror, part.inRelease),
		components: base.components,
		keyring,
		// Nothing of the root is run, so this host need not be able to.
		options: ["--skip=check/qemu", ...pinOptions(), `--customize-hook=${join(import.meta.dirname, "mirror-hook.sh")}`],
	};
	const env = { ...pinEnv(pinLines(asResolve(part, part.packages))), SLIPWAY_OUT: work, TMPDIR: work };
	await mmdebstrap(run, request, 0, { env, signal });
}

async function placePackages({ packages }: Part, from: string, to: string): Promise<void> {
	const byDigest = new Map<string, string>();
	for (const name of await readdir(from)) byDigest.set(sha256Hex(await readFile(join(from, name))), join(from, name));
	for (const { path, sha256 } of Object.values(packages)) {
		const found = byDigest.get(sha256);
		if (found === undefined) throw new DamagedPackage(`The archive gave another file as ${path}.`);
		await place(found, join(to, path));
	}
}

/** Release files and package lists, each to its place under `dists/`. */
async function placeIndices(work: string, to: string): Promise<void> {
	const lists = join(work, "lists");
	for (const name of await readdir(lists)) {
		const suite = suiteOf(name);
		if (suite === undefined) continue;
		const path = join("dists", suite, name.slice(name.lastIndexOf("_") + 1));
		await checkSame(join(lists, name), to, path);
		await place(join(lists, name), join(to, path));
	}
	for (const line of (await readFile(join(work, "targets.txt"), "utf8")).trim().split("\n")) {
		const [file, address] = line.split(" ") as [string, string];
		const path = inArchive(address.slice(address.indexOf("/dists/") + 1));
		await place(join(lists, basename(file)), join(to, path));
	}
}

/** A folder holds one archive: distributions may keep architectures in archives of their own. Errors: E_USAGE. */
async function checkSame(file: string, folder: string, path: string): Promise<void> {
	const there = await readFile(join(folder, path)).catch(() => undefined);
	if (there === undefined || there.equals(await readFile(file))) return;
	throw new SlipwayError("E_USAGE", `The archives of the two architectures differ in ${path}.`, {
		next: "Set MIRROR= to one archive that has both.",
	});
}

async function place(from: string, to: string): Promise<void> {
	await mkdir(dirname(to), { recursive: true });
	await cp(from, to);
}
