import { randomUUID } from "node:crypto";
import { copyFile, cp, mkdir, readdir, readFile, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { sha256Hex } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { archivePath, suiteOf } from "../archive/answer.ts";
import { pinEnv, pinLines, pinOptions } from "../archive/pins.ts";
import type { ResolveRequest } from "../archive/resolve.ts";
import { aptSources, findKeyring } from "../archive/sources.ts";
import { asResolve, type BaseLock } from "../lock/lock-file.ts";
import { StageCache } from "../plan/cache.ts";
import { mmdebstrap } from "../tools/mmdebstrap.ts";
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
		await fetch(request, keyring, work);
		await mkdir(partial, { recursive: true });
		const placed = await placePackages(lock, join(work, "archives"), partial);
		await placeIndices(work, partial);
		await copyFile(keyring, join(partial, "keyring.gpg"));
		await rmdir(folder).catch(() => undefined);
		await rename(partial, folder);
		return placed;
	} finally {
		await rm(partial, { recursive: true, force: true });
		await close();
	}
}

async function fetch({ base, lock, mirror, signal }: MirrorRequest, keyring: string, work: string): Promise<void> {
	const locked = asResolve(lock, allOf(lock));
	const request = {
		...({ suite: base.suite, arch: lock.arch, variant: "custom", include: [], target: "/dev/null" } as const),
		sources: aptSources(base, lock.arch, mirror, lock.inRelease),
		components: base.components,
		keyring,
		options: [...pinOptions(), `--customize-hook=${join(import.meta.dirname, "mirror-hook.sh")}`],
	};
	const env = { ...pinEnv(pinLines(locked)), SLIPWAY_OUT: work, TMPDIR: work };
	await mmdebstrap(run, request, 0, { env, signal });
}

function allOf(lock: BaseLock): BaseLock["root"] {
	return Object.assign({}, ...Object.values(lock.content), lock.boot, lock.root);
}

async function placePackages(lock: BaseLock, from: string, to: string): Promise<{ packages: number; bytes: number }> {
	const byDigest = new Map<string, string>();
	for (const name of await readdir(from)) byDigest.set(sha256Hex(await readFile(join(from, name))), join(from, name));
	const files = new Map(Object.values(allOf(lock)).map((file) => [file.path, file]));
	let bytes = 0;
	for (const { path, sha256, size } of files.values()) {
		const found = byDigest.get(sha256);
		if (found === undefined) throw new SlipwayError("E_DIGEST_MISMATCH", `The archive gave another file as ${path}.`);
		await place(found, join(to, path));
		bytes += size;
	}
	return { packages: files.size, bytes };
}

/** Release files and package lists, each to its place under `dists/`. */
async function placeIndices(work: string, to: string): Promise<void> {
	const lists = join(work, "lists");
	for (const name of await readdir(lists)) {
		const suite = suiteOf(name);
		if (suite !== undefined)
			await place(join(lists, name), join(to, "dists", suite, name.slice(name.lastIndexOf("_") + 1)));
	}
	for (const line of (await readFile(join(work, "targets.txt"), "utf8")).trim().split("\n")) {
		const [file, address] = line.split(" ") as [string, string];
		const path = archivePath.parse(address.slice(address.indexOf("/dists/") + 1));
		await place(join(lists, basename(file)), join(to, path));
	}
}

async function place(from: string, to: string): Promise<void> {
	await mkdir(dirname(to), { recursive: true });
	await cp(from, to);
}
