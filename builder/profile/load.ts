import { access } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { displayPath, readYaml, type Yaml } from "../yaml/load.ts";
import { nearest } from "../yaml/nearest.ts";
import { namesIn, notFound } from "./base.ts";
import { type ResolvedProfile, resolve } from "./resolve.ts";
import { type ProfileFile, profileSchema } from "./schema.ts";

export interface LoadOptions {
	/** Base to build on instead of the one that the profile names. */
	readonly base?: string | undefined;
}

/**
 * Reads a profile by name (`profiles/NAME.yaml`) or path, follows `extends`, fills in defaults and checks it against the
 * base and the folders it names. All errors are thrown together.
 * Errors: E_PROFILE_*, E_YAML_SYNTAX, E_BASE_NOT_FOUND, E_OVERLAY_NOT_FOUND, E_BUNDLE_NOT_FOUND, E_FIPS_BASE, E_ARCH_BASE.
 */
export async function loadProfile(
	root: string,
	nameOrPath: string,
	options: LoadOptions = {},
): Promise<ResolvedProfile> {
	const file = await findProfile(root, nameOrPath);
	const { layers, errors } = await readLayers(file);
	return resolve(root, file, layers, errors, options.base);
}

/** Names of all profiles in `profiles/`. */
export function profileNames(root: string): Promise<string[]> {
	return namesIn(path.join(root, "profiles"));
}

async function findProfile(root: string, nameOrPath: string): Promise<string> {
	const names = await profileNames(root);
	if (names.includes(nameOrPath)) return path.join(root, "profiles", `${nameOrPath}.yaml`);
	const file = path.resolve(nameOrPath);
	if (/[/]|\.yaml$/.test(nameOrPath)) {
		await access(file).catch((cause: unknown) => {
			throw new SlipwayError("E_PROFILE_NOT_FOUND", `There is no file ${displayPath(file)}.`, { cause });
		});
		return file;
	}
	throw new SlipwayError("E_PROFILE_NOT_FOUND", notFound("profile", nameOrPath, names));
}

interface Layers {
	/** What the profile extends first, the profile itself last; each file once, where it is first met. */
	readonly layers: Yaml<ProfileFile>[];
	readonly errors: SlipwayError[];
}

async function readLayers(top: string): Promise<Layers> {
	const layers: Yaml<ProfileFile>[] = [];
	const errors: SlipwayError[] = [];
	const seen = new Set<string>();
	const visit = async (file: string, trail: readonly string[]): Promise<void> => {
		seen.add(file);
		const yaml = await readYaml(file, profileSchema, "E_PROFILE_NOT_FOUND");
		errors.push(...yaml.errors);
		const here = [...trail, file];
		for (const [i, name] of parents(yaml.plain).entries()) {
			const parent = path.resolve(path.dirname(file), name);
			const at = yaml.place(["extends", i]);
			if (here.includes(parent)) {
				const circle = [...here.slice(here.indexOf(parent)), parent].map(displayPath).join(" → ");
				errors.push(new SlipwayError("E_PROFILE_CYCLE", `These profiles extend each other: ${circle}.`, { at }));
			} else if (!(await exists(parent))) {
				const folder = path.dirname(parent);
				const guess = nearest(
					path.basename(parent),
					(await namesIn(folder)).map((n) => `${n}.yaml`),
				);
				const hint = guess === undefined ? "" : ` Did you mean \`${displayPath(path.join(folder, guess))}\`?`;
				errors.push(new SlipwayError("E_PROFILE_EXTENDS", `There is no file ${displayPath(parent)}.${hint}`, { at }));
			} else if (!seen.has(parent)) await visit(parent, here);
		}
		layers.push(yaml);
	};
	await visit(top, []);
	return { layers, errors };
}

function parents(plain: unknown): string[] {
	const list = (plain as { extends?: unknown } | null | undefined)?.extends;
	return Array.isArray(list) ? list.filter((name) => typeof name === "string") : [];
}

async function exists(file: string): Promise<boolean> {
	return access(file).then(
		() => true,
		() => false,
	);
}
