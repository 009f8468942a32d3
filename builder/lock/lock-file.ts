import { lstat, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import { type Place, SlipwayError } from "../../bundle/errors.ts";
import { type ArchiveResolve, archiveFile, debName, debVersion, signedReleases } from "../archive/answer.ts";
import { API_VERSION, arch } from "../profile/words.ts";
import { giveToCaller } from "../signing/caller.ts";
import { displayPath, loadYaml } from "../yaml/load.ts";

const lockedPackage = archiveFile.extend({
	version: debVersion,
	/** What it costs, for `plan`; not there in older locks. */
	installedKiB: z.int().optional(),
});
const lockedSet = z.record(debName, lockedPackage);
/** Packages by name. */
export type LockedSet = z.infer<typeof lockedSet>;

const names = z.array(debName);

/** The workshop of a build for another architecture than its host's, which is `arch`. */
const lockedWorkshop = z.strictObject({ arch, inRelease: signedReleases, asked: names, packages: lockedSet });

/** What a build of one profile on one base takes from the archive, all of it. */
export const baseLock = z.strictObject({
	arch,
	/** The signed Release files that it was taken from. */
	inRelease: signedReleases,
	/** What was asked for: with other wishes a lock is not valid. */
	asked: z.strictObject({ root: names, boot: names, content: z.record(z.string(), names) }),
	root: lockedSet,
	boot: lockedSet,
	/** Packages of the content bundles, by the bundle's name. */
	content: z.record(z.string(), lockedSet),
	/** Not there when the lock was made on a host that needs none. */
	workshop: lockedWorkshop.optional(),
});
export type BaseLock = z.infer<typeof baseLock>;

const lockSchema = z.strictObject({
	apiVersion: z.literal(API_VERSION),
	kind: z.literal("Lock"),
	/** By the base's name. */
	bases: z.record(z.string(), baseLock),
});

const HEAD = `# Every package that a build of this profile takes from the archive. Commit this file; builds take these packages and no others.
# Written by \`./slipway lock\`; \`./slipway lock --diff\` shows what it would change.
`;

/** The lock that belongs to a profile's file: beside it. */
export function lockPath(profileFile: string): string {
	return path.join(path.dirname(profileFile), `${path.basename(profileFile, ".yaml")}.lock.yaml`);
}

/** The locks of a profile by base; none if there is no file. Errors: those of loadYaml(). */
export async function readLocks(file: string): Promise<Record<string, BaseLock>> {
	return (await readLock(file))?.value.bases ?? {};
}

async function readLock(file: string) {
	// One that is there and cannot be read must not unlock the build.
	const absent = await lstat(file).then(
		() => false,
		(error: NodeJS.ErrnoException) => error.code === "ENOENT",
	);
	return absent ? undefined : await loadYaml(file, lockSchema, "E_LOCK");
}

/** Where the lock of a profile's file names the first of these packages that it has; undefined if it names none, or is not there. */
export async function lockedPlace(
	profileFile: string,
	baseName: string,
	packages: readonly string[],
): Promise<Place | undefined> {
	const lock = await readLock(lockPath(profileFile));
	const base = lock?.value.bases[baseName];
	if (lock === undefined || base === undefined) return undefined;
	const sets: [string[], LockedSet][] = [
		[["root"], base.root],
		[["boot"], base.boot],
		...Object.entries(base.content).map(([name, set]): [string[], LockedSet] => [["content", name], set]),
		[["workshop", "packages"], base.workshop?.packages ?? {}],
	];
	const found = packages.flatMap((name) => sets.flatMap(([keys, set]) => (name in set ? [[...keys, name]] : [])));
	return found[0] === undefined ? undefined : lock.place(["bases", baseName, ...found[0]], true);
}

/** Writes a lock's text, the same for the same content, by one rename. */
export async function writeLocks(file: string, bases: Readonly<Record<string, BaseLock>>): Promise<void> {
	const temporary = `${file}.${process.pid}.tmp`;
	await writeFile(temporary, lockText(bases));
	await giveToCaller(temporary);
	await rename(temporary, file);
}

/** The file's text: sorted, one package a line, so that a review shows what changed. Pure. */
export function lockText(bases: Readonly<Record<string, BaseLock>>): string {
	const sorted = Object.fromEntries(Object.entries(bases).sort(([a], [b]) => (a < b ? -1 : 1)));
	const text = stringify(
		{ apiVersion: API_VERSION, kind: "Lock", bases: sorted },
		{ lineWidth: 0, collectionStyle: "block" },
	);
	return HEAD + oneLineEach(text);
}

/** A package's facts on one line: the file of a real profile has hundreds of packages. */
function oneLineEach(text: string): string {
	return text.replace(
		/^( +)(\S+):\n((?: +(?:version|arch|size|sha256|path|installedKiB): .*\n){5,6})/gm,
		(_, indent: string, name: string, facts: string) =>
			`${indent}${name}: { ${facts.trim().split(/\n +/).join(", ")} }\n`,
	);
}

/** A locked set as an archive's answer: builds use both alike. */
export function asResolve(
	lock: Pick<BaseLock, "inRelease">,
	packages: LockedSet,
	boot: LockedSet = {},
): ArchiveResolve {
	const versions = (set: LockedSet) => Object.fromEntries(Object.entries(set).map(([name, p]) => [name, p.version]));
	const all = Object.entries({ ...boot, ...packages });
	const sizes = all.flatMap(([name, { installedKiB }]) => (installedKiB === undefined ? [] : [[name, installedKiB]]));
	const newest = Math.max(...lock.inRelease.map(({ date }) => date));
	return {
		inRelease: lock.inRelease,
		packages: versions(packages),
		boot: versions(boot),
		files: Object.fromEntries(all.map(([name, { version: _, installedKiB: __, ...file }]) => [name, file])),
		sizes: Object.fromEntries(sizes),
		resolvedAt: new Date(newest * 1000).toISOString(),
	};
}

/**
 * The lock of a build, if its profile has one for this base. `workshop` is what this host needs for another architecture than its
 * own, if the profile's is one. Errors: E_LOCK when the file is not one, or was made for another set of packages than is asked for now.
 */
export async function openLock(
	profileFile: string,
	baseName: string,
	arch: string,
	asked: BaseLock["asked"],
	workshop: { readonly arch: string; readonly packages: readonly string[] } | undefined,
): Promise<BaseLock | undefined> {
	const file = lockPath(profileFile);
	const lock = (await readLocks(file))[baseName];
	if (lock === undefined) return undefined;
	const differs = [
		...(lock.arch === arch ? [] : [`arch ${arch} instead of ${lock.arch}`]),
		...askedDiff("", lock.asked.root, asked.root),
		...askedDiff("", lock.asked.boot, asked.boot),
		...[...new Set([...Object.keys(lock.asked.content), ...Object.keys(asked.content)])].flatMap((name) =>
			askedDiff(`${name}: `, lock.asked.content[name] ?? [], asked.content[name] ?? []),
		),
		...(workshop === undefined ? [] : workshopDiff(lock.workshop, workshop)),
	];
	if (differs.length === 0) return lock;
	const at = { file: displayPath(file), line: 1, col: 1 };
	const message = `The lock is for another set of packages than the profile asks for on ${baseName}: ${differs.join(", ")}.`;
	throw new SlipwayError("E_LOCK", message, { at });
}

function workshopDiff(
	locked: BaseLock["workshop"],
	{ arch, packages }: { readonly arch: string; readonly packages: readonly string[] },
): string[] {
	if (locked?.arch !== arch) return [`no workshop for a build host of ${arch}`];
	return askedDiff("workshop: ", locked.asked, packages);
}

function askedDiff(label: string, before: readonly string[], now: readonly string[]): string[] {
	return [
		...now.filter((name) => !before.includes(name)).map((name) => `${label}+${name}`),
		...before.filter((name) => !now.includes(name)).map((name) => `${label}-${name}`),
	];
}
