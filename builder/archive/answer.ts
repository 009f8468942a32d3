import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { SlipwayError } from "../../bundle/errors.ts";
import { parseStanza } from "../tools/dpkg.ts";

/** A path on a mirror: it becomes one of ours, so it cannot climb. */
export const archivePath = z.string().regex(/^(?![./])(?!.*\/\.)[\w.+~%:/-]+$/, "a path below the archive's folder");

/** Names and versions end as words in scripts, and a suite in apt's list of sources: nothing else may be in them. */
export const debName = z.string().regex(/^[a-z0-9][a-z0-9+.-]*$/, "a package name");
export const debVersion = z.string().regex(/^[0-9A-Za-z~][\w.+~:-]*$/, "a version");

/** Signed Release files; `date` in seconds. */
export const signedReleases = z.array(
	z.strictObject({
		suite: z.string().regex(/^[a-z0-9][a-z0-9.-]*$/, "a suite"),
		sha256: z.string(),
		date: z.int(),
	}),
);

/** A package as the archive's signed index describes it: what is installed is checked against this. */
export const archiveFile = z.strictObject({
	arch: z.string(),
	/** Bytes. */
	size: z.int(),
	sha256: z.string().regex(/^[0-9a-f]{64}$/),
	/** On the mirror. */
	path: archivePath,
});

/** What an archive offered when it was first asked: the signed Release files by digest, and the versions that apt would take. */
export const archiveResolve = z.strictObject({
	/** Sorted by suite. */
	inRelease: signedReleases,
	/** Every package of the root image with its version. */
	packages: z.record(debName, debVersion),
	/** Packages whose files are only unpacked for the boot stage. */
	boot: z.record(debName, debVersion),
	/** Each of these packages by name; not there in inputs files of older builds. */
	files: z.record(z.string(), archiveFile).optional(),
	/** Installed size of each package in KiB. */
	sizes: z.record(z.string(), z.int()).optional(),
	resolvedAt: z.string(),
});
export type ArchiveResolve = z.infer<typeof archiveResolve>;

export interface ArchiveAnswer {
	readonly root: ArchiveResolve;
	/** By the bundle's name. */
	readonly content: Readonly<Record<string, ArchiveResolve>>;
}

/**
 * Reads what resolve-hook.sh left in a folder: the root's set, and those of the named bundles.
 * Errors: E_ARCHIVE_INDEX when the archive's index does not describe what apt would install.
 */
export async function readAnswer(folder: string, bundles: readonly string[]): Promise<ArchiveAnswer> {
	const read = (name: string) => readFile(join(folder, name), "utf8");
	const inRelease = await readReleases(folder);
	const index = parseIndex(await read("index.txt"));
	const bootLines = (await read("boot.txt")).trim().split("\n").filter(Boolean);
	const boot = Object.fromEntries(bootLines.map((line) => line.split(" ") as [string, string]));
	const resolvedAt = new Date().toISOString();
	const resolveOf = async (set: string, boot: Record<string, string>): Promise<ArchiveResolve> => {
		const packages = parseInstall(await read(`${set}.install`));
		return { inRelease, packages, boot, ...pick(index, { ...boot, ...packages }), resolvedAt };
	};
	const content: Record<string, ArchiveResolve> = {};
	for (const name of bundles) content[name] = await resolveOf(`content-${name}`, {});
	return { root: await resolveOf("root", boot), content };
}

/** The signed Release files in a folder of apt's lists, sorted by suite. */
export async function readReleases(folder: string): Promise<ArchiveResolve["inRelease"]> {
	const names = (await readdir(folder)).filter((name) => name.endsWith("Release"));
	const found = await Promise.all(names.map(async (name) => parseRelease(name, await readFile(join(folder, name)))));
	return found.sort((a, b) => (a.suite === b.suite ? (a.sha256 < b.sha256 ? -1 : 1) : a.suite < b.suite ? -1 : 1));
}

/**
 * Suite, digest and date (seconds) of one of apt's Release files. The suite is that of the address, because Ubuntu's pockets all
 * carry the code name of their release. Errors: E_INTERNAL for one that has none.
 */
export function parseRelease(name: string, bytes: Buffer): ArchiveResolve["inRelease"][number] {
	const suite = suiteOf(name);
	const date = Date.parse(/^Date: (.+)$/m.exec(bytes.toString("utf8"))?.[1] ?? "");
	if (suite === undefined || Number.isNaN(date))
		throw new SlipwayError("E_INTERNAL", "A Release file has no suite or date.");
	return { suite, sha256: createHash("sha256").update(bytes).digest("hex"), date: date / 1000 };
}

/** Suite of one of apt's lists that is a Release file; undefined for another. */
export function suiteOf(list: string): string | undefined {
	return /_dists_([a-z0-9-]+)_(?:In)?Release$/.exec(list)?.[1];
}

type Index = ReadonlyMap<string, { file: z.infer<typeof archiveFile>; installedKiB: number }>;

/** Stanzas of the archive's index, by `name=version`. */
function parseIndex(text: string): Index {
	const stanzas = text
		.split(/\n\n+/)
		.map(parseStanza)
		.filter((stanza) => stanza.Package !== undefined);
	return new Map(
		stanzas.map((s) => {
			const file = { arch: s.Architecture, size: Number(s.Size), sha256: s.SHA256, path: ownPath(s.Filename) };
			const parsed = archiveFile.safeParse(file);
			if (!parsed.success) throw badIndex(`${s.Package} ${s.Version}`, parsed.error);
			return [`${s.Package}=${s.Version}`, { file: parsed.data, installedKiB: Number(s["Installed-Size"] ?? 0) }];
		}),
	);
}

/** Tools that index a folder write paths with a dot before them. */
function ownPath(path: string | undefined): string | undefined {
	return path?.replace(/^(?:\.\/+)+/, "");
}

/** A path that an archive names for one of its files. Errors: E_ARCHIVE_INDEX for one that leads out of its folder. */
export function inArchive(path: string): string {
	const parsed = archivePath.safeParse(ownPath(path));
	if (!parsed.success) throw badIndex(path, parsed.error);
	return parsed.data;
}

const FIELDS: Record<string, string> = { arch: "Architecture", size: "Size", sha256: "SHA256", path: "Filename" };

function badIndex(what: string, { issues: [issue] }: z.ZodError): SlipwayError {
	const field = FIELDS[String(issue?.path[0])] ?? "path";
	return new SlipwayError("E_ARCHIVE_INDEX", `The archive's index has no valid ${field} for ${JSON.stringify(what)}.`);
}

function pick(index: Index, versions: Record<string, string>): Pick<ArchiveResolve, "files" | "sizes"> {
	const found = Object.entries(versions).map(([name, version]) => {
		const entry = index.get(`${name}=${version}`);
		if (entry === undefined)
			throw new SlipwayError("E_ARCHIVE_INDEX", `The archive's index does not describe ${name} ${version}.`);
		return [name, entry] as const;
	});
	return {
		files: Object.fromEntries(found.map(([name, { file }]) => [name, file])),
		sizes: Object.fromEntries(found.map(([name, { installedKiB }]) => [name, installedKiB])),
	};
}

/** Versions out of `apt-get --simulate install`: lines such as `Inst libc6 (2.41-12 Debian:13.0/stable [amd64])`. */
export function parseInstall(text: string): Record<string, string> {
	const found = [...text.matchAll(/^Inst (\S+) (?:\[\S+\] )?\((\S+)/gm)].map((m) => [m[1]!, m[2]!] as const);
	return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Time that what comes from the archive alone is stamped with: the newest of its signed Release files, seconds. */
export function archiveEpoch(resolve: ArchiveResolve): number {
	return Math.max(...resolve.inRelease.map((release) => release.date));
}
