import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { trustFile } from "./appliance.ts";
import type { Role } from "./dsse.ts";
import { SlipwayError } from "./errors.ts";
import { isTrouble } from "./read.ts";
import { makeRole, parseRoleKey, type RoleKey } from "./role.ts";
import { readStatementFolder } from "./statement-folder.ts";
import { applyAll, type KnownStatement, refuseSharedKeys } from "./statements.ts";
import { parseStrictJson } from "./strict-json.ts";

/** Trusted keys by role, as they stand after `statements`. */
export interface Trust {
	readonly release: Role;
	/** Signs statements: rotation, denylist, floor reset, planned rollback. Without it there are none. */
	readonly root?: Role;
	/** The chain so far; number n stands at n - 1. */
	readonly statements: readonly KnownStatement[];
}

/**
 * Loads a trust store: a folder with `trust.json`, PEM files and, where there are any, `statements/`, which are verified and
 * applied; or one PEM file that holds the only release key.
 * A key is a development key when `trust.json` or the text in front of its PEM block says so.
 * Errors: E_CONFIG (missing or malformed), E_JSON_STRICT, E_KEY_WEAK, E_IO, those of readStatementFolder and applyAll.
 */
export async function loadTrust(path: string): Promise<Trust> {
	if (!(await isFolder(path))) {
		const keys = [await loadKey(path)];
		const none = { denyKeys: new Set<string>(), denyIndexes: new Set<string>() };
		return { release: makeRole(1, keys, none, path, "E_CONFIG"), statements: [] };
	}
	return applyAll(await loadBaked(path), await readStatementFolder(join(path, "statements")));
}

/** What `trust.json` and its PEM files say. */
async function loadBaked(folder: string): Promise<Trust> {
	const file = join(folder, "trust.json");
	const parsed = trustFile.safeParse(parseStrictJson(await read(file)));
	if (!parsed.success) {
		const issue = parsed.error.issues[0]!;
		throw new SlipwayError("E_CONFIG", `${file}: ${issue.path.join(".")}: ${issue.message}.`);
	}
	const { release, root, deny } = parsed.data;
	const denied = { denyKeys: new Set(deny.keys), denyIndexes: new Set(deny.indexes) };
	const roleOf = async ({ threshold, keys }: { threshold: number; keys: { file: string; development?: boolean }[] }) =>
		makeRole(threshold, await loadKeys(folder, keys), denied, file, "E_CONFIG");
	const roles = {
		release: await roleOf(release),
		...(root === undefined ? {} : { root: await roleOf(root) }),
	};
	refuseSharedKeys(roles, file, "E_CONFIG");
	return { ...roles, statements: [] };
}

async function loadKeys(
	folder: string,
	entries: readonly { file: string; development?: boolean }[],
): Promise<RoleKey[]> {
	return Promise.all(
		entries.map(async (entry) => {
			const loaded = await loadKey(join(folder, entry.file));
			return { key: loaded.key, development: loaded.development || entry.development === true };
		}),
	);
}

async function loadKey(file: string): Promise<RoleKey> {
	return parseRoleKey((await read(file)).toString("utf8"));
}

async function isFolder(path: string): Promise<boolean> {
	try {
		return (await stat(path)).isDirectory();
	} catch (cause) {
		refuseBrokenDisk(cause, path);
		throw new SlipwayError("E_CONFIG", `There is no trust store at ${path}.`, { cause });
	}
}

async function read(file: string): Promise<Buffer> {
	try {
		return await readFile(file);
	} catch (cause) {
		refuseBrokenDisk(cause, file);
		throw new SlipwayError("E_CONFIG", `The trust store's file ${file} cannot be read.`, { cause });
	}
}

/** What is there and cannot be read just now is no fault of whoever wrote the configuration. */
function refuseBrokenDisk(cause: unknown, path: string): void {
	if (!isTrouble(cause)) return;
	throw new SlipwayError("E_IO", `The trust store ${path} cannot be read: ${(cause as Error).message}.`, { cause });
}
