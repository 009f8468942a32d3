import { stat } from "node:fs/promises";
import path from "node:path";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { displayPath, throwAll, type Yaml } from "../yaml/load.ts";
import { loadBase, namesIn, notFound } from "./base.ts";
import { type Merged, mergeLayers } from "./merge.ts";
import { type Base, type Profile, type ProfileFile, resolvedProfile } from "./schema.ts";

export interface ResolvedProfile {
	/** Absolute path of the profile's file. */
	readonly file: string;
	/** Every file that took part, the profile's own last. */
	readonly files: readonly string[];
	readonly profile: Profile;
	readonly base: Base;
	/** The definition of each of the profile's bundles, in its order: a name in profiles/bundles/, or an absolute path. */
	readonly definitions: readonly string[];
}

const SERIAL = { amd64: "ttyS0", arm64: "ttyAMA0" } as const;

/**
 * Merges the layers, fills in defaults and checks what no single key can show. `found` are the errors of the files so far;
 * `baseOverride` stands for `BASE=`. Throws all errors together.
 */
export async function resolve(
	root: string,
	file: string,
	layers: readonly Yaml<ProfileFile>[],
	found: readonly SlipwayError[],
	baseOverride?: string,
): Promise<ResolvedProfile> {
	const merged = mergeLayers(layers);
	const { values, origin } = merged;
	const top = { file: displayPath(file), line: 1, col: 1 };
	const errors = [...found];
	// What a faulty file says wrongly, or a file that is not there would have said, is not also missing.
	const unset = (key: string) =>
		(values as Record<string, unknown>)[key] === undefined &&
		layers.every(({ value, plain }) => value !== undefined || (isRecord(plain) && !(key in plain))) &&
		!found.some((error) => ["E_PROFILE_EXTENDS", "E_PROFILE_CYCLE", "E_YAML_SYNTAX"].includes(error.code));
	const add = (code: ConstructorParameters<typeof SlipwayError>[0], message: string, key: string) =>
		errors.push(new SlipwayError(code, message, { at: origin.get(key) ?? top }));

	const name = path.basename(file, ".yaml");
	if (!resolvedProfile.shape.name.safeParse(name).success) {
		add(
			"E_PROFILE_VALUE",
			`The file name ${name}.yaml: only lower-case letters, digits, - and . can name a profile.`,
			"",
		);
	}
	for (const key of ["product", "version", "arch"] as const) {
		if (unset(key)) add("E_PROFILE_VALUE", `\`${key}\` is set neither here nor in what this extends.`, key);
	}
	if (unset("base") && baseOverride === undefined) {
		add("E_PROFILE_VALUE", "`base` is set neither here nor in what this extends.", "base");
	}
	await checkFolders(root, values, add);
	await checkTrust(values, add);
	const base = await readBase(root, merged, baseOverride, errors);
	if (base !== undefined) checkPair(values, base, add);
	throwAll(errors);
	const profile = withDefaults(name, { ...values, base: (base as Base).name });
	const definitions = bundleList(values).map((bundle) => bundle.name);
	return { file, files: layers.map((layer) => layer.file), profile, base: base as Base, definitions };
}

function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null;
}

type Add = (code: ConstructorParameters<typeof SlipwayError>[0], message: string, key: string) => void;

async function checkFolders(root: string, values: ProfileFile, add: Add): Promise<void> {
	for (const overlay of values.overlays ?? []) {
		const folder = await stat(path.join(root, "overlays", overlay)).catch(() => undefined);
		if (!folder?.isDirectory())
			add("E_OVERLAY_NOT_FOUND", `There is no folder overlays/${overlay}.`, `overlays.${overlay}`);
	}
	const bundles = await namesIn(path.join(root, "profiles", "bundles"));
	const seen = new Set<string>();
	for (const { name } of bundleList(values)) {
		const short = path.basename(name, ".yaml");
		if (seen.has(short)) add("E_NAME_CONFLICT", `Two bundles are named ${short}.`, `bundles.${name}`);
		seen.add(short);
		if (path.isAbsolute(name)) {
			const file = await stat(name).catch(() => undefined);
			if (!file?.isFile()) add("E_BUNDLE_NOT_FOUND", `There is no file ${displayPath(name)}.`, `bundles.${name}`);
		} else if (!bundles.includes(name)) {
			add("E_BUNDLE_NOT_FOUND", notFound("bundle", name, bundles), `bundles.${name}`);
		}
	}
}

async function checkTrust({ trust = {} }: ProfileFile, add: Add): Promise<void> {
	for (const role of ["release", "root"] as const) {
		for (const key of trust[role]?.keys ?? []) {
			const file = await stat(key).catch(() => undefined);
			if (!file?.isFile()) add("E_PROFILE_VALUE", `There is no key ${displayPath(key)}.`, `trust.${role}.keys.${key}`);
		}
	}
	if (trust.statements === undefined) return;
	const folder = await stat(trust.statements).catch(() => undefined);
	const missing = `There is no folder ${displayPath(trust.statements)}.`;
	if (!folder?.isDirectory()) add("E_PROFILE_VALUE", missing, "trust.statements");
}

async function readBase(root: string, merged: Merged, override: string | undefined, errors: SlipwayError[]) {
	const name = override ?? merged.values.base;
	if (name === undefined) return undefined;
	try {
		return await loadBase(root, name, override === undefined ? merged.origin.get("base") : undefined);
	} catch (error) {
		if (error instanceof SlipwayErrors) errors.push(...error.errors);
		else if (error instanceof SlipwayError) errors.push(error);
		else throw error;
		return undefined;
	}
}

function checkPair(values: ProfileFile, base: Base, add: Add): void {
	if (values.fips === true && base.fips === null)
		add("E_FIPS_BASE", `The base ${base.name} has no FIPS provider.`, "fips");
	if (values.arch !== undefined && !base.arch.includes(values.arch)) {
		add("E_ARCH_BASE", `The base ${base.name} offers ${base.arch.join(", ")}, not ${values.arch}.`, "arch");
	}
}

function bundleList(values: ProfileFile): { name: string; optional: boolean }[] {
	return (values.bundles ?? []).map((b) => (typeof b === "string" ? { name: b, optional: false } : b));
}

function withDefaults(name: string, values: ProfileFile & { base: string }): Profile {
	const arch = values.arch ?? "amd64";
	return resolvedProfile.parse({
		name,
		product: values.product,
		version: values.version,
		arch,
		fips: values.fips ?? false,
		base: values.base,
		packages: values.packages ?? [],
		overlays: values.overlays ?? [],
		bundles: bundleList(values).map((bundle) => ({ ...bundle, name: path.basename(bundle.name, ".yaml") })),
		audience: values.audience ?? "",
		root: values.root ?? "live",
		kernel: { arguments: values.kernel?.arguments ?? [] },
		console: { serial: values.console?.serial ?? SERIAL[arch], baud: values.console?.baud ?? 115_200 },
		requirements: { cores: 1, memoryMiB: 512, diskMiB: 0, cpuFlags: [], tpm: false, ...values.requirements },
		network: { expose: values.network?.expose ?? "loopback" },
		registry: values.registry ?? {},
		trust: values.trust ?? {},
		archive: { mirror: values.archive?.mirror ?? null, keyring: values.archive?.keyring ?? null },
	});
}
