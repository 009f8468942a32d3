import { lstat, mkdir, open, readdir, readFile, readlink, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { tryLock } from "./lock.ts";
import { removeTree } from "./remove-tree.ts";
import type { SourceDigests } from "./sources.ts";
import type { StageName } from "./stage.ts";

/** Everything that a stage's id is made from. */
export interface StageKey {
	readonly name: StageName;
	readonly options: unknown;
	/** Ids of the stages it reads. */
	readonly inputs: Readonly<Record<string, string>>;
	readonly sources: SourceDigests;
}

type FileStamp = readonly [name: string, size: number, mtimeMs: number];

/** `stage.json` of a cache entry: written last, before the one rename that makes the entry. */
interface Seal {
	readonly id: string;
	readonly key: StageKey;
	readonly seconds: number;
	/** Every file of the output, so that one that was changed or removed later is noticed without reading it. */
	readonly files: readonly FileStamp[];
}

/**
 * `.cache/stages/<id>/{out/, stage.json}`. An entry comes into being by one rename of a folder that is complete and
 * flushed, so a kill or a power cut at any moment leaves either all of it or nothing.
 */
export class StageCache {
	readonly #stages: string;
	readonly #tmp: string;
	readonly dir: string;

	constructor(dir: string) {
		this.dir = dir;
		this.#stages = path.join(dir, "stages");
		this.#tmp = path.join(dir, "tmp");
	}

	/** Output folder of a whole and unchanged entry, or undefined. */
	async find(id: string): Promise<string | undefined> {
		const entry = path.join(this.#stages, id);
		try {
			const seal = JSON.parse(await readFile(path.join(entry, "stage.json"), "utf8")) as Seal;
			const out = path.join(entry, "out");
			const now = await stamps(out);
			return seal.id === id && JSON.stringify(now) === JSON.stringify(seal.files) ? out : undefined;
		} catch {
			return undefined;
		}
	}

	/** Makes the folder `made`, which holds a finished `out/`, the entry of `id`. Returns the entry's output folder. */
	async commit(id: string, key: StageKey, made: string, seconds: number): Promise<string> {
		const out = path.join(made, "out");
		await flush(out);
		const seal: Seal = { id, key, seconds, files: await stamps(out) };
		await writeFile(path.join(made, "stage.json"), `${JSON.stringify(seal, null, "\t")}\n`, { flush: true });
		await flushOne(made);
		await mkdir(this.#stages, { recursive: true });
		const entry = path.join(this.#stages, id);
		// A damaged entry, or one of another network namespace, where our lock does not reach.
		if (await exists(entry)) await this.#discard(entry);
		await rename(made, entry);
		await flushOne(this.#stages);
		return path.join(entry, "out");
	}

	/** A folder for one build's unfinished work, held by this process until `close`, which removes it. */
	async openWork(buildId: string): Promise<{ folder: string; close(): Promise<void> }> {
		const folder = path.join(this.#tmp, `build-${buildId}`);
		const held = await tryLock(folder);
		// A lock that is never released would keep the process from ending.
		const close = async () => {
			try {
				await removeTree(folder);
			} finally {
				await held?.release();
			}
		};
		try {
			await mkdir(folder, { recursive: true });
		} catch (error) {
			await held?.release();
			throw error;
		}
		return { folder, close };
	}

	/** Removes what builds that were killed have left behind. Returns how many builds are at work. */
	async sweep(): Promise<number> {
		let alive = 0;
		for (const name of await readdir(this.#tmp).catch(() => [])) {
			if (!name.startsWith("build-")) continue;
			const folder = path.join(this.#tmp, name);
			const held = await tryLock(folder);
			if (held === undefined) {
				alive++;
				continue;
			}
			try {
				await removeTree(folder);
			} catch (error) {
				// Another user's leftovers are for that user's next build.
				if (!["EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
			} finally {
				await held.release();
			}
		}
		return alive;
	}

	/** Ids of all entries. */
	async ids(): Promise<string[]> {
		return readdir(this.#stages).catch(() => []);
	}

	async remove(id: string): Promise<void> {
		await this.#discard(path.join(this.#stages, id));
	}

	/** Renamed away first, so that a kill during the removal leaves no half entry. */
	async #discard(entry: string): Promise<void> {
		const trash = path.join(this.#tmp, `build-trash-${path.basename(entry)}-${process.pid}`);
		await mkdir(this.#tmp, { recursive: true });
		await rename(entry, trash);
		await removeTree(trash);
	}
}

async function stamps(folder: string, prefix = ""): Promise<FileStamp[]> {
	const found: FileStamp[] = [];
	for (const entry of (await readdir(path.join(folder, prefix), { withFileTypes: true })).sort(byName)) {
		const name = path.join(prefix, entry.name);
		if (entry.isDirectory()) found.push(...(await stamps(folder, name)));
		else {
			const { size, mtimeMs } = await lstat(path.join(folder, name));
			const target = entry.isSymbolicLink() ? ` → ${await readlink(path.join(folder, name))}` : "";
			found.push([name + target, size, mtimeMs]);
		}
	}
	return found;
}

function byName(a: { name: string }, b: { name: string }): number {
	return a.name < b.name ? -1 : 1;
}

/** Flushes all files and folders to the disk. */
async function flush(folder: string): Promise<void> {
	for (const entry of await readdir(folder, { withFileTypes: true })) {
		const file = path.join(folder, entry.name);
		if (entry.isDirectory()) await flush(file);
		else if (entry.isFile()) await flushOne(file);
	}
	await flushOne(folder);
}

/** Opening for reading is enough to flush a file or a folder. */
async function flushOne(file: string): Promise<void> {
	const handle = await open(file, "r");
	try {
		await handle.sync();
	} finally {
		await handle.close();
	}
}

async function exists(file: string): Promise<boolean> {
	return lstat(file).then(
		() => true,
		() => false,
	);
}
