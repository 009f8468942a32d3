import { existsSync } from "node:fs";
import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { digest, sha256 } from "../../bundle/index-schema.ts";
import { z } from "../../bundle/zod.ts";
import { replaceFile } from "./files.ts";

const evidence = z.tuple([z.int().min(0), z.string(), z.string()]);

const committedSet = z.strictObject({
	/** Digest of the content release's payload; the signed document is `signed/<digest>.release.json`. */
	release: sha256,
	/** Index digests; the signed documents are `signed/<digest>.index.json` and `.envelope.json`. */
	bundles: z.array(sha256),
	blobs: z.record(digest, evidence),
});
/** One release in the store: its signed documents, and what its blobs looked like when they were verified. */
export type CommittedSet = z.infer<typeof committedSet>;

/** `catalog.json`: the one file that says which set is committed. Names follow from the signed documents it points to. */
const catalog = committedSet.extend({
	format: z.literal(1),
	/** The release before it, kept with everything it needs, so that a planned rollback does without its medium. */
	previous: committedSet.optional(),
});
export type Catalog = z.infer<typeof catalog>;

/** The sets of a catalog, the present one first. */
export function setsOf(catalog: Catalog | undefined): CommittedSet[] {
	if (catalog === undefined) return [];
	return catalog.previous === undefined ? [catalog] : [catalog, catalog.previous];
}

/**
 * The catalog after `next` is committed: what was present becomes the previous one, and the one before that is forgotten. The
 * same release committed again is a repair: the previous one stays. A blob that both hold was perhaps written anew for
 * `next`, so its new evidence counts for both.
 */
export function advance(now: Catalog | undefined, next: CommittedSet): Catalog {
	const { release, bundles, blobs } = next;
	const before = now?.release === release ? now.previous : now;
	if (before === undefined) return { format: 1, release, bundles, blobs };
	const kept = Object.entries(before.blobs).map(([key, seen]) => [key, blobs[key] ?? seen] as const);
	const previous = { release: before.release, bundles: before.bundles, blobs: Object.fromEntries(kept) };
	return { format: 1, release, bundles, blobs, previous };
}

/**
 * Reads the catalog; undefined when nothing is committed. One that cannot be read or parsed is as good as none, since
 * everything can be loaded again from signed content: it is moved to `catalog.json.bad` for whoever wants to know, and that
 * file is the memory of the damage until another catalog is written.
 */
export async function readCatalog(folder: string): Promise<{ catalog?: Catalog; damage?: SlipwayError }> {
	const file = join(folder, "catalog.json");
	const bad = `${file}.bad`;
	try {
		return { catalog: catalog.parse(JSON.parse(await readFile(file, "utf8"))) };
	} catch (cause) {
		const { code } = cause as NodeJS.ErrnoException;
		if (code !== undefined && code !== "ENOENT" && code !== "EIO") throw cause; // no rights, no descriptors: nothing is said about its bytes
		if (code !== "ENOENT") await rename(file, bad).catch(() => undefined);
		else if (!existsSync(bad)) return {};
		return { damage: new SlipwayError("E_STORE", `The store's catalog was damaged; it is now ${bad}.`, { cause }) };
	}
}

/** The commit: after a crash at any instant the old catalog stands or the new one. */
export function writeCatalog(folder: string, next: Catalog): Promise<void> {
	return replaceFile(join(folder, "catalog.json"), `${JSON.stringify(next)}\n`);
}
