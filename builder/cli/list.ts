import path from "node:path";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { baseNames, loadBase, namesIn } from "../profile/base.ts";
import { loadProfile, profileNames } from "../profile/load.ts";
import type { CommandContext } from "./command.ts";

/** Lists what there is. A profile with errors is listed too, as what it is. */
export async function list({ root, print }: CommandContext): Promise<void> {
	const profiles = await Promise.all((await profileNames(root)).map((name) => profileRow(root, name)));
	const bases = await Promise.all((await baseNames(root)).map((name) => loadBase(root, name)));
	const bundles = await namesIn(path.join(root, "profiles", "bundles"));
	const data = {
		profiles,
		bases: bases.map(({ name, title, arch, fips }) => ({ name, title, arch, fips: fips?.stream ?? null })),
		bundles,
	};
	print(
		() =>
			[
				"Profiles",
				...table(
					data.profiles.map((p) =>
						"error" in p ? [p.name, p.error] : [p.name, p.product, p.arch, p.fips ? "FIPS" : "", p.base],
					),
				),
				"Bases",
				...table(data.bases.map((b) => [b.name, b.title, b.arch.join(" "), fipsText(b.fips)])),
				"Bundles",
				...table(bundles.map((name) => [name])),
				"",
			].join("\n"),
		() => data,
	);
}

async function profileRow(root: string, name: string) {
	try {
		const { profile } = await loadProfile(root, name);
		const { product, version, arch, fips, base } = profile;
		return { name, product, version, arch, fips, base };
	} catch (error) {
		if (error instanceof SlipwayError || error instanceof SlipwayErrors) {
			return { name, error: "has errors: see ./slipway validate" };
		}
		throw error;
	}
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
