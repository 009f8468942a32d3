import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Every file below a folder, as paths relative to it, sorted; none when there is no such folder. */
export function filesBelow(folder: string): string[] {
	if (!existsSync(folder)) return [];
	const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
	const files = entries.filter((entry) => !entry.isDirectory());
	return files.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort();
}

/**
 * All that a store means: its files and their digests. Of the catalog only the sets count, since what the blobs' files look
 * like (inode, time) differs from one disk to the next; and so says the journal. What is in quarantine, and when the last
 * scrub was, is history.
 */
export function storeContents(store: string): Record<string, string> {
	const files = filesBelow(store).filter(
		(file) => !/^(store\/quarantine\/|store\/journal$|state\/scrub\.json$)/.test(file),
	);
	return Object.fromEntries(
		files.map((file) => {
			const bytes = readFileSync(join(store, file));
			const means = file.endsWith("catalog.json") ? sets(bytes) : bytes;
			return [file, createHash("sha256").update(means).digest("hex")];
		}),
	);
}

/** The files in which two stores differ. */
export function differences(a: Record<string, string>, b: Record<string, string>): string[] {
	return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((file) => a[file] !== b[file]).sort();
}

function sets(catalog: Buffer): string {
	return JSON.stringify(JSON.parse(catalog.toString()), (key, value) => (key === "blobs" ? undefined : value));
}
