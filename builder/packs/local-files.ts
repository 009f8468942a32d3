import { lstat, readdir } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";

export interface LocalFile {
	/** Path below the folder, with `/`. */
	readonly name: string;
	readonly file: string;
	readonly size: number;
}

const MAX_FILES = 10_000;
const MAX_DEPTH = 32;

/**
 * The regular files under a folder, sorted by name; for a file, that one. Refused, because they would mean something else
 * where they are unpacked: links, sockets and devices, and names that are not plain text. Errors: E_PACK.
 */
export async function localFiles(pack: string, top: string): Promise<LocalFile[]> {
	const found: LocalFile[] = [];
	const visit = async (file: string, name: string, depth: number): Promise<void> => {
		const stat = await lstat(file);
		const shown = name === "" ? path.basename(file) : name;
		if (stat.isDirectory()) {
			if (depth > MAX_DEPTH)
				throw new SlipwayError("E_PACK", `${pack}: ${shown} is nested more than ${MAX_DEPTH} deep.`);
			for (const entry of await readdir(file)) {
				if (!/^[A-Za-z0-9_][A-Za-z0-9_.+@=~-]*$|^\.helmignore$/.test(entry)) {
					throw new SlipwayError(
						"E_PACK",
						`${pack}: ${JSON.stringify(entry)} in ${shown} is not a name that is allowed.`,
					);
				}
				await visit(path.join(file, entry), name === "" ? entry : `${name}/${entry}`, depth + 1);
			}
		} else if (stat.isFile()) found.push({ name: shown, file, size: stat.size });
		else throw new SlipwayError("E_PACK", `${pack}: ${shown} is a link or a special file.`);
		if (found.length > MAX_FILES) throw new SlipwayError("E_PACK", `${pack}: there are more than ${MAX_FILES} files.`);
	};
	await visit(top, "", 0);
	if (found.length === 0) throw new SlipwayError("E_PACK", `${pack}: there are no files in ${path.basename(top)}.`);
	return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
