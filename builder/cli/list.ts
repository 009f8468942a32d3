import path from "node:path";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { baseNames, loadBase, namesIn } from "../profile/base.ts";
import { type HardwareFile, hardwareNames, isTested, loadHardware } from "../profile/hardware.ts";
import { loadProfile, profileNames } from "../profile/load.ts";
import type { Base } from "../profile/schema.ts";
import type { CommandContext } from "./command.ts";

/** Lists what there is. A profile with errors is listed too, as what it is. */
export async function list({ root, print }: CommandContext): Promise<void> {
	const profiles = await Promise.all((await profileNames(root)).map((name) => profileRow(root, name)));
	const bases = await Promise.all((await baseNames(root)).map((name) => loadBase(root, name)));
	const hardware = await Promise.all((await hardwareNames(root)).map((name) => hardwareRow(root, name)));
	const bundles = await namesIn(path.join(root, "profiles", "bundles"));
	const data = {
		profiles,
		hardware,
		bases: bases.map(({ name, title, arch, fips, kernel, firmware }) => ({
			...{
				name,
				title,
				arch,
				fips: fips?.stream ?? null,
				kernels: [...new Set(Object.values(kernel).flatMap(Object.keys))],
			},
			firmware: firmwareOf(firmware),
		})),
		bundles,
	};
	print(
		() =>
			[
				"Profiles",
				...table(
					data.profiles.map((p) =>
						"error" in p
							? [p.name, p.error]
							: [p.name, p.product, p.arch, p.fips ? "FIPS" : "", p.base, p.hardware ?? "(any)", testedText(p.tested)],
					),
				),
				"Hardware",
				...table(
					hardware.map((h) =>
						"error" in h ? [h.name, h.error] : [h.name, h.title, h.arch.join(" "), hardwareTested(h.tested)],
					),
				),
				"Bases",
				...table(data.bases.map((b) => [b.name, b.title, b.arch.join(" "), fipsText(b.fips)])),
				"Firmware classes",
				...firmwareLines(data.bases),
				"Bundles",
				...table(bundles.map((name) => [name])),
				"",
			].join("\n"),
		() => data,
	);
}

async function profileRow(root: string, name: string) {
	try {
		const { profile, hardware: set } = await loadProfile(root, name);
		const { product, version, arch, fips, base, hardware } = profile;
		const tested = set === null ? null : isTested(set, arch, base);
		return { name, product, version, arch, fips, base, hardware, tested };
	} catch (error) {
		return { name, error: refusal(error) };
	}
}

async function hardwareRow(root: string, name: string) {
	try {
		const { title, arch, tested } = await loadHardware(root, name);
		return { name, title, arch, tested };
	} catch (error) {
		return { name, error: refusal(error) };
	}
}

function refusal(error: unknown): string {
	if (error instanceof SlipwayError || error instanceof SlipwayErrors) return "has errors: see ./slipway validate";
	throw error;
}

/** Classes with the architectures that they are for, where not all have them. */
function firmwareOf({ classes }: Base["firmware"]) {
	return Object.fromEntries(Object.entries(classes).map(([name, { arch }]) => [name, arch ?? null]));
}

/** Bases that have the same classes share their lines. */
function firmwareLines(bases: readonly { name: string; firmware: ReturnType<typeof firmwareOf> }[]): string[] {
	const byText = Object.groupBy(bases, ({ firmware }) => Object.entries(firmware).map(firmwareText).join(", "));
	return Object.entries(byText).flatMap(([text, same = []]) => [
		`  ${same.map(({ name }) => name).join(", ")}:`,
		...wrap(text, 100).map((line) => `    ${line}`),
	]);
}

function wrap(text: string, width: number): string[] {
	return text.match(new RegExp(`.{1,${width}}(?: |$)`, "g"))?.map((line) => line.trimEnd()) ?? [];
}

function firmwareText([name, arch]: [string, readonly string[] | null]): string {
	return arch === null ? name : `${name} (${arch.join(" ")})`;
}

/** A profile's own set on its own base and architecture; nothing is said of a profile that names no set. */
function testedText(tested: boolean | null): string {
	return tested === null ? "" : `tested: ${tested}`;
}

function hardwareTested(tested: HardwareFile["tested"]): string {
	if (tested === false) return "tested: false";
	return `tested: true (${tested.map(({ base, arch }) => `${base} on ${arch}`).join(", ")})`;
}

function fipsText(stream: string | null): string {
	if (stream === null) return "no FIPS";
	return stream === "distribution" ? "FIPS (not certified)" : `FIPS (${stream})`;
}

function table(rows: readonly (readonly string[])[]): string[] {
	const widths = (rows[0] ?? []).map((_, i) =>
		Math.max(...rows.map((row) => (i < row.length - 1 ? (row[i] ?? "").length : 0))),
	);
	return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd());
}
