import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type TrustFile, trustFile } from "./appliance.ts";
import type { Role } from "./dsse.ts";
import { SlipwayError } from "./errors.ts";
import { loadPublicKey, type PublicKey } from "./keys.ts";
import { parseStrictJson } from "./strict-json.ts";

/** Trusted keys by role. `root` is for rotation, denylist, floor reset and planned rollback. */
export interface Trust {
	readonly release: Role;
	readonly root?: Role;
}

/** First line of a development key's PEM file. Whoever reads the file sees it, and so does this program. */
export const DEVELOPMENT_MARK = "Slipway development key";

/**
 * Loads a trust store: a folder with `trust.json` and PEM files, or one PEM file that holds the only release key.
 * A key is a development key when `trust.json` or the text in front of its PEM block says so.
 * Errors: E_CONFIG (missing or malformed), E_JSON_STRICT, E_KEY_WEAK.
 */
export async function loadTrust(path: string): Promise<Trust> {
	if (!(await isFolder(path))) {
		const { key, development } = await loadKey(path);
		return { release: role(1, [{ key, development }], { keys: [], indexes: [] }, path) };
	}
	const file = join(path, "trust.json");
	const parsed = trustFile.safeParse(parseStrictJson(await read(file)));
	if (!parsed.success) {
		const issue = parsed.error.issues[0]!;
		throw new SlipwayError("E_CONFIG", `${file}: ${issue.path.join(".")}: ${issue.message}.`);
	}
	const { release, root, deny } = parsed.data;
	return {
		release: role(release.threshold, await loadKeys(path, release.keys), deny, file),
		...(root === undefined ? {} : { root: role(root.threshold, await loadKeys(path, root.keys), deny, file) }),
	};
}

type LoadedKey = { key: PublicKey; development: boolean };

function role(threshold: number, keys: readonly LoadedKey[], deny: TrustFile["deny"], from: string): Role {
	const map = new Map(keys.map((k) => [k.key.keyId, k]));
	if (map.size !== keys.length) throw new SlipwayError("E_CONFIG", `${from} names one key twice.`);
	if (threshold > map.size) {
		throw new SlipwayError("E_CONFIG", `${from} asks for ${threshold} signatures and trusts ${map.size} keys.`);
	}
	for (const id of [...deny.keys, ...deny.indexes]) {
		if (!/^[0-9a-f]{64}$/.test(id))
			throw new SlipwayError("E_CONFIG", `${from}: a denied id is not 64 lower-case hex digits.`);
	}
	return { threshold, keys: map, denyKeys: new Set(deny.keys), denyIndexes: new Set(deny.indexes) };
}

async function loadKeys(
	folder: string,
	entries: readonly { file: string; development?: boolean }[],
): Promise<LoadedKey[]> {
	return Promise.all(
		entries.map(async (entry) => {
			const loaded = await loadKey(join(folder, entry.file));
			return { key: loaded.key, development: loaded.development || entry.development === true };
		}),
	);
}

async function loadKey(file: string): Promise<LoadedKey> {
	const pem = (await read(file)).toString("utf8");
	const preamble = pem.slice(0, Math.max(0, pem.indexOf("-----BEGIN ")));
	const development = preamble.split("\n").some((line) => line.startsWith(DEVELOPMENT_MARK));
	return { key: loadPublicKey(pem), development };
}

async function isFolder(path: string): Promise<boolean> {
	try {
		return (await stat(path)).isDirectory();
	} catch (cause) {
		throw new SlipwayError("E_CONFIG", `There is no trust store at ${path}.`, { cause });
	}
}

async function read(file: string): Promise<Buffer> {
	try {
		return await readFile(file);
	} catch (cause) {
		throw new SlipwayError("E_CONFIG", `The trust store's file ${file} cannot be read.`, { cause });
	}
}
