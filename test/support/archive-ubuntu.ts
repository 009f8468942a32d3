import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { projectRoot } from "../../builder/cli/command.ts";
import { askedOf } from "../../builder/lock/make-lock.ts";
import { checkProfile } from "../../builder/plan/prepare.ts";
import { run } from "../../builder/tools/run.ts";
import { type ArchiveKey, archiveKey, type Pooled, pooled, type Suite, writeArchive } from "./archive.ts";
import { debianDebs, makeDeb } from "./archive-debs.ts";

/** Packages that are Ubuntu's alone: small ones with these names, and what they depend on in Debian. */
const UBUNTU_ONLY: Readonly<Record<string, readonly string[]>> = {
	"linux-image-fips": ["linux-image-cloud-amd64"],
	"linux-image-generic": ["linux-image-amd64"],
	// The initrd wants drivers that Debian's own small kernel lacks.
	"linux-image-virtual": ["linux-image-amd64"],
	"openssl-fips-module-3": ["openssl-provider-fips"],
	"ubuntu-pro-client": ["apt"],
};
/** In Ubuntu these come from universe. */
const UNIVERSE = /^(dracut.*|redis.*|liblzf1|libjemalloc2)$/;
/** Debian's file → Ubuntu's, in packages of the same name: Ubuntu's plain names are links that only an installation makes. */
const SIGNED = [
	["shim-signed", "usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/shimx64.efi.signed.latest", "1.58+15.8-0ubuntu1"],
	[
		"grub-efi-amd64-signed",
		"usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed",
		"usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed",
		"1.202.5+2.12-1ubuntu7.3",
	],
] as const;

export interface UbuntuArchive {
	/** Folder of the archive, to serve. */
	readonly folder: string;
	readonly suites: readonly Suite[];
	readonly key: ArchiveKey & { close(): Promise<void> };
}

/** What is built from it. One archive for all: the packages behind it are fetched once. */
const PROFILES = ["palette-amd64", "vertex-fips-amd64", "minimal-amd64"];

/**
 * An archive laid out as Ubuntu's, with everything that those profiles take from it on ubuntu-24.04: Debian 13's packages, and small
 * ones with Ubuntu's own names over them. The newer kernel package is only in -updates, shim only in -security.
 */
export async function ubuntuArchive(folder: string, given: readonly Pooled[] = []): Promise<UbuntuArchive> {
	const all = await Promise.all(
		PROFILES.map((profile) => checkProfile({ root: projectRoot, profile, base: "ubuntu-24.04" })),
	);
	const asked = all.map(askedOf);
	const debs = await debianDebs({
		root: debianNames(all.flatMap(({ packages, proPackages }) => [...packages, ...proPackages])),
		content: debianNames(asked.flatMap(({ content }) => Object.values(content).flat())),
		alone: debianNames(asked.flatMap(({ boot }) => boot)),
	});
	const own = join(folder, "packages");
	await mkdir(own, { recursive: true });
	const signed = new Set<string>(SIGNED.map(([name]) => name));
	const main = await Promise.all(
		(await readdir(debs))
			.sort()
			.map((file) => pooled(join(debs, file), UNIVERSE.test(nameIn(file)) ? "universe" : "main")),
	);
	const small = (name: string, version: string) => standIn(own, name, version);
	const has = new Set(given.map((p) => p.name));
	const wanted = new Set(all.flatMap(({ packages }) => packages));
	const names = [...wanted].filter((name) => name in UBUNTU_ONLY && !has.has(name)).sort();
	const [shim, grub] = await Promise.all(SIGNED.map((entry) => repack(debs, own, entry)));
	const codename = all[0]!.base.suite;
	const suites: Suite[] = [
		{
			...{ suite: codename, codename },
			packages: [
				...main.filter((p) => !signed.has(p.name)),
				grub!,
				...given,
				...(await Promise.all(names.map((name) => small(name, "6.8.0-31.31")))),
			],
		},
		{
			suite: `${codename}-updates`,
			codename,
			packages: await Promise.all(names.map((name) => small(name, "6.8.0-60.63"))),
		},
		{ suite: `${codename}-security`, codename, packages: [shim!] },
	];
	const key = await archiveKey(folder);
	await writeArchive(join(folder, "archive"), suites, key);
	return { folder: join(folder, "archive"), suites, key };
}

/** A small package with a name of Ubuntu's. */
export async function standIn(folder: string, name: string, version: string): Promise<Pooled> {
	return await pooled(await makeDeb(folder, { name, version, depends: UBUNTU_ONLY[name]! }));
}

function debianNames(names: readonly string[]): string[] {
	return [...new Set(names.flatMap((name) => UBUNTU_ONLY[name] ?? [name]))].sort();
}

function nameIn(file: string): string {
	return file.slice(0, file.indexOf("_"));
}

async function repack(debs: string, own: string, [name, from, to, version]: (typeof SIGNED)[number]): Promise<Pooled> {
	const file = (await readdir(debs)).find((deb) => nameIn(deb) === name)!;
	const work = await mkdtemp(join(own, ".signed-"));
	try {
		await run("dpkg-deb", ["-x", join(debs, file), work]);
		return await pooled(await makeDeb(own, { name, version, files: { [to]: { from: join(work, from) } } }));
	} finally {
		await rm(work, { recursive: true, force: true });
	}
}
