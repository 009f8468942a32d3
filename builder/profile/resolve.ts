import { stat } from "node:fs/promises";
import path from "node:path";
import { type Place, SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { displayPath, throwAll, type Yaml } from "../yaml/load.ts";
import { loadBase, namesIn, notFound } from "./base.ts";
import { type Add, checkPair, GENERIC, withFirmware } from "./fit.ts";
import { type HardwareFile, readHardware } from "./hardware.ts";
import { type Merged, mergeLayers } from "./merge.ts";
import { type Base, type Profile, type ProfileFile, resolvedProfile } from "./schema.ts";

export interface ResolvedProfile {
	/** Absolute path of the profile's file. */
	readonly file: string;
	/** Every file that took part, the profile's own last. */
	readonly files: readonly string[];
	readonly profile: Profile;
	/** With the archive component of the firmware that was chosen, if it needs one. */
	readonly base: Base;
	readonly hardware: HardwareFile | null;
	/** Where the winning value of a key stands (`base`), or one entry of a list (`packages.curl`). */
	readonly origin: ReadonlyMap<string, Place>;
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
	const errors = [...found];
	const hardware = await hardwareLayer(root, layers, errors);
	const merged = mergeLayers(hardware?.layers ?? layers);
	const { values, origin } = merged;
	const top = { file: displayPath(file), line: 1, col: 1 };
	// What a faulty file says wrongly, or a file that is not there would have said, is not also missing.
	const unset = (key: string) =>
		(values as Record<string, unknown>)[key] === undefined &&
		layers.every(({ value, plain }) => value !== undefined || (isRecord(plain) && !(key in plain))) &&
		!found.some((error) => ["E_PROFILE_EXTENDS", "E_PROFILE_CYCLE", "E_YAML_SYNTAX"].includes(error.code));
	const add: Add = (code, message, key) => errors.push(new SlipwayError(code, message, { at: origin.get(key) ?? top }));

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
	if (base !== undefined) checkPair(values, base, hardware?.value, add);
	throwAll(errors);
	const profile = withDefaults(name, { ...values, base: (base as Base).name }, hardware?.value);
	return {
		file,
		files: [...(hardware === undefined ? [] : [hardware.file]), ...layers.map((layer) => layer.file)],
		profile,
		base: withFirmware(base as Base, profile.firmware),
		hardware: hardware?.value ?? null,
		origin,
		definitions: bundleList(values).map((bundle) => bundle.name),
	};
}

function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null;
}

/**
 * The set that the layers name, and the layers with it: over what the profile that names it extends, under what that profile says
 * itself. Its faults, and that it is not there, go to `errors`.
 */
async function hardwareLayer(root: string, layers: readonly Yaml<ProfileFile>[], errors: SlipwayError[]) {
	const { values, origin } = mergeLayers(layers);
	if (values.hardware === undefined) return undefined;
	try {
		const yaml = await readHardware(root, values.hardware, origin.get("hardware"));
		errors.push(...yaml.errors);
		const { kernel, firmware, console, requirements } = yaml.value ?? {};
		const value = { kernel, firmware, console, requirements } as ProfileFile;
		const named = layers.findLastIndex(
			({ value, plain }) => (value ?? (plain as Partial<ProfileFile> | null | undefined))?.hardware !== undefined,
		);
		return { ...yaml, layers: layers.toSpliced(named, 0, { ...yaml, value, plain: value }) };
	} catch (error) {
		if (!(error instanceof SlipwayError)) throw error;
		errors.push(error);
		return undefined;
	}
}

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

function bundleList(values: ProfileFile): { name: string; optional: boolean }[] {
	return (values.bundles ?? []).map((b) => (typeof b === "string" ? { name: b, optional: false } : b));
}

function withDefaults(name: string, values: ProfileFile & { base: string }, hardware?: HardwareFile): Profile {
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
		boot: values.boot ?? "grub",
		hardware: values.hardware ?? null,
		kernel: { flavour: values.kernel?.flavour ?? GENERIC, arguments: values.kernel?.arguments ?? [] },
		firmware: values.firmware ?? [],
		console: { serial: values.console?.serial ?? SERIAL[arch], baud: values.console?.baud ?? 115_200 },
		requirements: { memoryMiB: 512, ...values.requirements },
		leds: hardware?.leds ?? {},
		network: { expose: values.network?.expose ?? "loopback" },
		registry: values.registry ?? {},
		trust: values.trust ?? {},
	});
}
