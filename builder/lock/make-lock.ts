import { SlipwayError } from "../../bundle/errors.ts";
import type { ArchiveResolve } from "../archive/answer.ts";
import { bootPackages, workshopPackages } from "../archive/packages.ts";
import { askArchive, forWorkshop, type ResolveRequest } from "../archive/resolve.ts";
import { archivePackages } from "../packs/packages/wanted.ts";
import type { Checked } from "../plan/prepare.ts";
import { type Arch, hostArch } from "../tools/host-arch.ts";
import type { BaseLock, LockedSet } from "./lock-file.ts";

/** What a build of a profile asks of the archive, sorted. Pure. */
export function askedOf({ profile, base, bundles, packages }: Checked): BaseLock["asked"] {
	const content = bundles
		.map((bundle) => [bundle.name, archivePackages(bundle.packs, base, profile.fips)] as const)
		.filter(([, wanted]) => wanted.length > 0);
	return { root: [...packages].sort(), boot: bootPackages(base, profile), content: Object.fromEntries(content) };
}

/** The workshop that a host of this architecture needs for a profile, if it needs one. Pure. */
export function workshopOf({ profile, base }: Checked, host: Arch): { arch: Arch; packages: string[] } | undefined {
	return profile.arch === host ? undefined : { arch: host, packages: workshopPackages(base) };
}

/**
 * Asks the archive now for everything that a build on this host takes from it.
 * Errors: those of askArchive(); E_LOCK for packages that only a token of Ubuntu Pro shows.
 */
export async function makeLock(checked: Checked, request: ResolveRequest): Promise<BaseLock> {
	const { profile, base, proPackages } = checked;
	if (proPackages.length > 0) {
		const message = `${profile.name} on ${base.title} takes ${proPackages.join(", ")} from Ubuntu Pro, which only a token shows.`;
		throw new SlipwayError("E_LOCK", message, { next: "Packages of Ubuntu Pro cannot be locked; lock another base." });
	}
	const asked = askedOf(checked);
	const answer = await askArchive({ ...request, content: asked.content });
	const workshop = await lockedWorkshop(workshopOf(checked, hostArch()), request);
	const content = Object.entries(answer.content).map(([name, resolve]) => [name, lockedSet(resolve, resolve.packages)]);
	return {
		arch: profile.arch,
		inRelease: [...answer.root.inRelease],
		asked,
		root: lockedSet(answer.root, answer.root.packages),
		boot: lockedSet(answer.root, answer.root.boot),
		content: Object.fromEntries(content),
		...(workshop === undefined ? {} : { workshop }),
	};
}

async function lockedWorkshop(
	wanted: ReturnType<typeof workshopOf>,
	request: ResolveRequest,
): Promise<BaseLock["workshop"]> {
	if (wanted === undefined) return undefined;
	const { root } = await askArchive(forWorkshop(request, wanted.arch));
	const { inRelease, packages } = root;
	return { arch: wanted.arch, inRelease: [...inRelease], asked: wanted.packages, packages: lockedSet(root, packages) };
}

function lockedSet({ files, sizes }: ArchiveResolve, versions: Readonly<Record<string, string>>): LockedSet {
	const sorted = Object.entries(versions).sort(([a], [b]) => (a < b ? -1 : 1));
	return Object.fromEntries(
		sorted.map(([name, version]) => [name, { version, ...files![name]!, installedKiB: sizes![name]! }]),
	);
}
