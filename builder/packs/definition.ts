import { lstat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { SlipwayError } from "../../bundle/errors.ts";
import { bundleName, ref, sequence } from "../../bundle/index-schema.ts";
import { namesIn, notFound } from "../profile/base.ts";
import { API_VERSION } from "../profile/words.ts";
import { displayPath, loadYaml, throwAll, type Yaml } from "../yaml/load.ts";
import { packagesPack } from "./packages/schema.ts";

/**
 * The one declaration of bundle definitions (`profiles/bundles/NAME.yaml`): types, validation and JSON Schema come from it.
 * Architecture, FIPS and base are not here: the profile or the command line says for which machine a bundle is built.
 */

/** A version that is also a valid tag of an image. */
const version = z.string().regex(/^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$/, "letters, digits, . _ and -");
const text = z
	.string()
	.max(64)
	.regex(/^[\x20-\x7e]*$/, "printable ASCII");
const local = z.string().min(1).describe("Path, relative to this file");
/** Nothing is unpacked and tried out for content that others built, so it is never taken for FIPS content. */
const foreignFips = z
	.union([z.literal(false), z.literal("n/a")])
	.default(false)
	.describe("`n/a` for content without code; content built elsewhere is never `true`");

const common = {
	name: bundleName.describe("Name of the pack, unique in the bundle"),
	version: version.optional().describe("Version and tag; default: the bundle's"),
	layer: z.enum(["os", "k8s", "cni", "csi", "addon", "app"]).default("app").describe("Layer of the stack"),
	licence: z
		.string()
		.max(200)
		.regex(/^[\x20-\x7e]*$/)
		.default("")
		.describe("SPDX licence expression"),
};

const ociLayoutPack = z.strictObject({
	...common,
	source: z.literal("oci-layout"),
	path: local.describe("OCI image layout: a folder or a tar of one"),
	as: ref.optional().describe("Name to give, for a layout that holds exactly one image"),
	names: z
		.record(z.string(), ref)
		.optional()
		.describe("Names to take: reference in the layout → full name. Default: all"),
	fips: foreignFips,
});

const filesPack = z.strictObject({
	...common,
	source: z.literal("files"),
	path: local.describe("A file, or a folder of files without links"),
	artifactType: z
		.string()
		.regex(/^[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/, "a media type")
		.default("application/vnd.slipway.files.v1"),
});

const chartPack = z.strictObject({
	...common,
	source: z.literal("chart"),
	path: local.describe("Folder of a Helm chart; the pack has the chart's name"),
	images: z
		.record(
			z.string().regex(/^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*$/, "a dotted path of values"),
			bundleName,
		)
		.default({})
		.describe("Value of the chart → pack of this bundle whose image it gets, by name and digest"),
});

const registryPack = z.strictObject({
	...common,
	source: z.literal("registry"),
	image: ref.describe("host/path:tag or host/path@digest. A tag is resolved once and kept in NAME.lock.yaml"),
	as: ref.optional().describe("Name to give; default: the original one"),
	platforms: z
		.union([
			z.literal("all"),
			z.array(z.string().regex(/^[a-z0-9]+\/[a-z0-9_]+(\/[a-z0-9.]+)?$/, "os/arch[/variant]")).min(1),
		])
		.optional()
		.describe("Children of a multi-arch index to bring; default: Linux on the bundle's architecture"),
	referrers: z.boolean().default(true).describe("Bring signatures, SBOMs and attestations too"),
	fips: foreignFips,
});

export const bundleSchema = z.strictObject({
	apiVersion: z.literal(API_VERSION).describe("Schema version of this file"),
	kind: z.literal("Bundle"),
	name: bundleName.describe("Name of the bundle; the file's name without .yaml"),
	version: version.describe("For people, and the default tag of its packs"),
	sequence: sequence.describe("Rises with each release; a box never goes back"),
	product: text.default("slipway").describe("Product it belongs to"),
	productVersions: z.array(text).default([]).describe("Versions of the product it fits; empty: any"),
	cloudTypes: z.array(text).default([]).describe("Kinds of cloud it is for; empty: any"),
	useCases: z.array(text).default([]).describe("What it is for; empty: anything"),
	minAgent: text.default("0.1.0").describe("Oldest agent that can load it"),
	packs: z
		.array(z.discriminatedUnion("source", [packagesPack(common), ociLayoutPack, filesPack, chartPack, registryPack]))
		.min(1),
});

export type BundleFile = z.infer<typeof bundleSchema>;
export type PackDefinition = BundleFile["packs"][number];
export type PackOf<S extends PackDefinition["source"]> = Extract<PackDefinition, { source: S }>;

/** A checked definition and where it stands; paths in it are relative to that file. */
export interface BundleDefinition extends BundleFile {
	/** Absolute path. */
	readonly file: string;
}

export function bundlesFolder(root: string): string {
	return path.join(root, "profiles", "bundles");
}

/**
 * Reads `profiles/bundles/NAME.yaml`, or the file at a path, and checks what a schema cannot. All errors together.
 * Errors: E_BUNDLE_NOT_FOUND with the nearest name, E_PROFILE_KEY, E_PROFILE_VALUE, E_PACK, E_NAME_CONFLICT.
 */
export async function loadBundleDefinition(root: string, nameOrPath: string): Promise<BundleDefinition> {
	const names = await namesIn(bundlesFolder(root));
	const isPath = /[/]|\.ya?ml$/.test(nameOrPath);
	if (!isPath && !names.includes(nameOrPath)) {
		throw new SlipwayError("E_BUNDLE_NOT_FOUND", notFound("bundle", nameOrPath, names));
	}
	const file = isPath ? path.resolve(nameOrPath) : path.join(bundlesFolder(root), `${nameOrPath}.yaml`);
	const yaml = await loadYaml(file, bundleSchema, "E_BUNDLE_NOT_FOUND");
	throwAll(await checkDefinition(yaml));
	return { ...yaml.value, file };
}

/** Local files and folders that a definition reads, for stage ids. Absolute; the definition itself and its lock included. */
export function definitionSources(definition: BundleDefinition): string[] {
	const folder = path.dirname(definition.file);
	const inputs = definition.packs.flatMap((pack) => localInputs(pack).map(({ value }) => path.resolve(folder, value)));
	return [definition.file, lockPath(definition.file), ...inputs];
}

export function lockPath(file: string): string {
	return file.replace(/(\.ya?ml)?$/, ".lock.yaml");
}

async function checkDefinition(yaml: Yaml<BundleFile> & { readonly value: BundleFile }): Promise<SlipwayError[]> {
	const { value: bundle, place } = yaml;
	const errors: SlipwayError[] = [];
	const expected = path.basename(yaml.file).replace(/\.ya?ml$/, "");
	if (bundle.name !== expected) {
		const message = `The bundle in ${path.basename(yaml.file)} calls itself ${bundle.name}.`;
		errors.push(new SlipwayError("E_PROFILE_VALUE", message, { at: place(["name"]) }));
	}
	const byName = new Map(bundle.packs.map((pack) => [pack.name, pack]));
	for (const [i, pack] of bundle.packs.entries()) {
		const at = (...keys: PropertyKey[]) => ({ at: place(["packs", i, ...keys]) });
		if (bundle.packs.findIndex((other) => other.name === pack.name) !== i) {
			errors.push(new SlipwayError("E_NAME_CONFLICT", `There are two packs named ${pack.name}.`, at("name")));
		}
		for (const { keys, value } of localInputs(pack)) {
			const target = path.resolve(path.dirname(yaml.file), value);
			const stat = await lstat(target).catch(() => undefined);
			// What a link leads to could change without the stage's id showing it.
			if (stat === undefined) {
				errors.push(new SlipwayError("E_PACK", `There is no ${displayPath(target)}.`, at(...keys)));
			} else if (stat.isSymbolicLink()) {
				const message = `${displayPath(target)} is a link; name the file or folder itself.`;
				errors.push(new SlipwayError("E_PACK", message, at(...keys)));
			}
		}
		if (pack.source !== "chart") continue;
		for (const [key, image] of Object.entries(pack.images)) {
			if (byName.get(image)?.source === "packages") continue;
			const images = bundle.packs.filter((p) => p.source === "packages").map((p) => p.name);
			errors.push(new SlipwayError("E_PROFILE_VALUE", notFound("image pack", image, images), at("images", key)));
		}
	}
	return errors;
}

/** Paths in a pack that lead to local files, with where they stand in the definition. */
export function localInputs(pack: PackDefinition): { keys: string[]; value: string }[] {
	if (pack.source === "registry") return [];
	if (pack.source !== "packages") return [{ keys: ["path"], value: pack.path }];
	return Object.entries(pack.files).flatMap(([to, file]) =>
		"from" in file ? [{ keys: ["files", to, "from"], value: file.from }] : [],
	);
}
