import { readdir } from "node:fs/promises";
import path from "node:path";
import { type Place, SlipwayError } from "../../bundle/errors.ts";
import { loadYaml } from "../yaml/load.ts";
import { nearest } from "../yaml/nearest.ts";
import { withMirrors } from "./mirrors.ts";
import { type Base, baseSchema } from "./schema.ts";

/** Names of the YAML files in a folder, without `.yaml`, sorted; none if there is no such folder. */
export async function namesIn(folder: string): Promise<string[]> {
	const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
	const files = entries.filter((entry) => entry.isFile() && /^[a-z0-9].*\.yaml$/.test(entry.name));
	// A lock file stands beside the definition it belongs to.
	const names = files.filter((entry) => !entry.name.endsWith(".lock.yaml")).map((entry) => entry.name.slice(0, -5));
	return names.sort();
}

function basesFolder(root: string): string {
	return path.join(root, "profiles", "bases");
}

/** Names of all bases. */
export function baseNames(root: string): Promise<string[]> {
	return namesIn(basesFolder(root));
}

/**
 * Reads `profiles/bases/NAME.yaml`, with the mirrors of this build host.
 * Errors: E_BASE_NOT_FOUND with the nearest name, at `at` where a profile names it; E_PROFILE_KEY, E_PROFILE_VALUE; those of withMirrors().
 */
export async function loadBase(root: string, name: string, at?: Place): Promise<Base> {
	const names = await namesIn(basesFolder(root));
	if (!names.includes(name)) {
		throw new SlipwayError("E_BASE_NOT_FOUND", notFound("base", name, names), at === undefined ? {} : { at });
	}
	const { value } = await loadYaml(path.join(basesFolder(root), `${name}.yaml`), baseSchema, "E_BASE_NOT_FOUND");
	if (value.name !== name) {
		throw new SlipwayError("E_PROFILE_VALUE", `The base in ${name}.yaml calls itself ${value.name}.`);
	}
	return withMirrors(root, value, names);
}

/** One sentence that says what is not there and what may have been meant. */
export function notFound(kind: string, name: string, names: readonly string[]): string {
	const guess = nearest(name, names);
	if (guess !== undefined) return `There is no ${kind} \`${name}\`. Did you mean \`${guess}\`?`;
	return `There is no ${kind} \`${name}\`. There is: ${names.length === 0 ? "none" : names.join(", ")}.`;
}
