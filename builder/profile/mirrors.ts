import { access } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { type Place, SlipwayError } from "../../bundle/errors.ts";
import { loadYaml, type Yaml } from "../yaml/load.ts";
import type { Base } from "./schema.ts";
import { API_VERSION, arch, contracts, mirrorAddress, name } from "./words.ts";

/** Where the packages of each base come from on this build host (`mirrors.yaml`): a fact of the place, not of any profile. */
export const mirrorsSchema = z.strictObject({
	apiVersion: z.literal(API_VERSION).describe("Schema version of this file"),
	kind: z.literal("Mirrors"),
	bases: z
		.record(
			name,
			z.strictObject({
				mirror: z
					.union([mirrorAddress, z.partialRecord(arch, mirrorAddress)])
					.describe(
						"Mirror of the base's archive, or one for each architecture; a second address after a space is the security archive",
					),
				keyring: z
					.string()
					.regex(/^\/[\x21-\x7e]+$/, "an absolute path")
					.optional()
					.describe("Keyring that the mirror's signature is checked with; default: those that the base names"),
				snapshot: z
					.string()
					.regex(/\{snapshot\}/, "an address with {snapshot} in it")
					.optional()
					.describe("Archive of snapshots, with `{snapshot}` where SNAPSHOT= goes; default: the base's"),
				contracts: contracts
					.optional()
					.describe("Ubuntu Pro service of the site's own, for the token; default: the vendor's"),
			}),
		)
		.describe("By the base's name"),
});
type Mirrors = Yaml<z.infer<typeof mirrorsSchema>> & { readonly value: z.infer<typeof mirrorsSchema> };

/**
 * The base with the mirrors of this build host in place of its own: those of the file that `MIRRORS` names, else of `mirrors.yaml` in the
 * project's folder, if it is there. `names` are those of all bases. Errors: E_USAGE, E_YAML_SYNTAX, E_PROFILE_KEY, E_PROFILE_VALUE,
 * E_BASE_NOT_FOUND for an entry of no base.
 */
export async function withMirrors(root: string, base: Base, names: readonly string[]): Promise<Base> {
	const file = await readMirrors(root);
	if (file === undefined) return base;
	const unknown = Object.keys(file.value.bases).find((one) => !names.includes(one));
	if (unknown !== undefined) {
		const at = file.place(["bases", unknown], true);
		throw new SlipwayError("E_BASE_NOT_FOUND", `There is no base \`${unknown}\`. There is: ${names.join(", ")}.`, {
			at,
		});
	}
	const { mirror, keyring, snapshot, contracts } = file.value.bases[base.name] ?? {};
	if (mirror === undefined) return base;
	const own = typeof mirror === "string" ? { amd64: mirror, arm64: mirror } : mirror;
	return {
		...base,
		archive: {
			...base.archive,
			mirrors: { ...base.archive.mirrors, ...own },
			...(keyring === undefined ? {} : { keyrings: [keyring] }),
			...(snapshot === undefined ? {} : { snapshot }),
		},
		...(contracts === undefined || base.fips === null ? {} : { fips: { ...base.fips, contracts } }),
	};
}

/** Where the file says what a base's mirror or keyring is; undefined if it does not. */
export async function mirrorPlace(root: string, base: string, key: "mirror" | "keyring"): Promise<Place | undefined> {
	const file = await readMirrors(root);
	return file?.value.bases[base]?.[key] === undefined ? undefined : file.place(["bases", base, key]);
}

async function readMirrors(root: string): Promise<Mirrors | undefined> {
	const given = process.env.MIRRORS || undefined;
	const file = path.resolve(given ?? path.join(root, "mirrors.yaml"));
	const there = await access(file).then(
		() => true,
		() => false,
	);
	if (given === undefined && !there) return undefined;
	return loadYaml(file, mirrorsSchema, "E_USAGE");
}
