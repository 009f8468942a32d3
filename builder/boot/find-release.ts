import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { type Manifest, manifestSchema } from "../release/manifest.ts";

export interface BuiltRelease {
	readonly folder: string;
	/** `X` of `X.iso`. */
	readonly name: string;
	readonly iso: string;
	readonly manifest: Manifest;
}

/** The newest release under `dist/`, of one profile and on one base where they are named. Errors: E_USAGE when there is none. */
export async function findRelease(
	distDir: string,
	profile: string | undefined,
	base: string | undefined,
): Promise<BuiltRelease> {
	const found: (BuiltRelease & { time: number })[] = [];
	for (const name of await readdir(distDir).catch(() => [])) {
		const folder = join(distDir, name);
		const text = await readFile(join(folder, `${name}.manifest.json`), "utf8").catch(() => undefined);
		const manifest = text === undefined ? undefined : manifestSchema.safeParse(JSON.parse(text)).data;
		if (
			manifest === undefined ||
			(profile ?? manifest.profile) !== manifest.profile ||
			(base ?? manifest.base.name) !== manifest.base.name
		)
			continue;
		const iso = join(folder, `${name}.iso`);
		const time = await stat(iso).then(
			(file) => file.mtimeMs,
			() => undefined,
		);
		if (time !== undefined) found.push({ folder, name, iso, manifest, time });
	}
	const newest = found.sort((a, b) => b.time - a.time)[0];
	if (newest !== undefined) return newest;
	throw new SlipwayError(
		"E_USAGE",
		`There is no ISO of ${profile ?? "any profile"}${base === undefined ? "" : ` on ${base}`} in ${distDir}.`,
		{
			next: `Build it first: make iso PROFILE=${profile ?? "NAME"}${base === undefined ? "" : ` BASE=${base}`}`,
		},
	);
}
