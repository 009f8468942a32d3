import type { Role } from "./dsse.ts";
import { type ErrorCode, SlipwayError } from "./errors.ts";
import { loadPublicKey, type PublicKey } from "./keys.ts";

/** First line of a development key's PEM file. Whoever reads the file sees it, and so does this program. */
export const DEVELOPMENT_MARK = "Slipway development key";

/** Ids that never count again: keys, and payload digests of indexes and releases. Both only grow. */
export type Denied = Pick<Role, "denyKeys" | "denyIndexes">;

export interface RoleKey {
	readonly key: PublicKey;
	readonly development: boolean;
}

/** One key in PEM; the text in front of its block may call it a development key. Errors: E_KEY_WEAK. */
export function parseRoleKey(pem: string): RoleKey {
	const preamble = pem.slice(0, Math.max(0, pem.indexOf("-----BEGIN ")));
	const development = preamble.split("\n").some((line) => line.startsWith(DEVELOPMENT_MARK));
	return { key: loadPublicKey(pem), development };
}

/** A role of distinct keys that can reach its threshold. `from` is whoever asks for it. Errors: `code`. */
export function makeRole(
	threshold: number,
	keys: readonly RoleKey[],
	{ denyKeys, denyIndexes }: Denied,
	from: string,
	code: ErrorCode,
): Role {
	const map = new Map(keys.map((k) => [k.key.keyId, k]));
	if (map.size !== keys.length) throw new SlipwayError(code, `${from} names one key twice.`);
	if (threshold > map.size) {
		throw new SlipwayError(code, `${from} asks for ${threshold} signatures and trusts ${map.size} keys.`);
	}
	return { threshold, keys: map, denyKeys, denyIndexes };
}

/** Whether enough keys of the role are left that have not been denied. */
export function canSign({ keys, threshold, denyKeys }: Role): boolean {
	return [...keys.keys()].filter((id) => !denyKeys.has(id)).length >= threshold;
}
