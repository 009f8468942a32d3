import { type ErrorCode, type Place, SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { firmwarePackages } from "../archive/packages.ts";
import { lockedPlace } from "../lock/lock-file.ts";
import { mirrorPlace } from "../profile/mirrors.ts";
import type { ResolvedProfile } from "../profile/resolve.ts";
import type { OverlayManifest } from "../stages/overlay-manifest.ts";
import { ChangedPackages, DamagedPackage, MissingPackages } from "../tools/mmdebstrap.ts";

/** What asks for packages. */
export interface Askers extends Pick<ResolvedProfile, "file" | "profile" | "base" | "origin"> {
	readonly overlays: readonly OverlayManifest[];
}

/** What the command line says of the archive: what it says stands in no file. */
export interface Given {
	readonly root: string;
	readonly mirror?: string | undefined;
	readonly keyring?: string | undefined;
	readonly inputs?: string | undefined;
}

/** Errors whose cause is the archive, or its keyring. */
const OF_ARCHIVE = new Set<ErrorCode>(["E_ARCHIVE_UNREACHABLE", "E_ARCHIVE_EXPIRED", "E_ARCHIVE_INDEX", "E_KEYRING"]);

/**
 * Does work that asks an archive, or this host. Its errors are told where a file says what they come from: packages that the archive does
 * not have where each is asked for, locked ones that have changed in the lock, a mirror and its keyring in mirrors.yaml, programs of an
 * architecture that this host cannot run where that is named.
 */
export async function placed<T>(askers: Askers, given: Given, work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		throw await placedError(error, askers, given);
	}
}

async function placedError(error: unknown, askers: Askers, given: Given): Promise<unknown> {
	if (error instanceof MissingPackages) return missing(error, askers);
	if (!(error instanceof SlipwayError) || error.at !== undefined) return error;
	const at = await placeOf(error, askers, given);
	if (at === undefined) return error;
	return new SlipwayError(error.code, error.message, { next: error.next, at, cause: error });
}

async function placeOf(error: SlipwayError, askers: Askers, given: Given): Promise<Place | undefined> {
	const { file, base, origin } = askers;
	if (error.code === "E_EMULATOR") return origin.get("arch");
	// A stage that fails tells its log, and what it was as the cause.
	const told = [error, error.cause];
	const changed = told.find((one) => one instanceof ChangedPackages);
	if (changed !== undefined) {
		return given.inputs === undefined ? lockedPlace(file, base.name, changed.names) : undefined;
	}
	// Images of a registry have digests too.
	if (!OF_ARCHIVE.has(error.code) && !told.some((one) => one instanceof DamagedPackage)) return undefined;
	const keyring = error.code === "E_KEYRING" && given.keyring === undefined;
	const at = keyring ? await mirrorPlace(given.root, base.name, "keyring") : undefined;
	return at ?? (given.mirror === undefined ? await mirrorPlace(given.root, base.name, "mirror") : undefined);
}

/** A package may exist for another architecture only: an archive's index holds no others, so that cannot be told apart. */
function missing({ names, suite, arch }: MissingPackages, askers: Askers): SlipwayErrors {
	return new SlipwayErrors(
		[...names].sort().map((name) => {
			const { by, at } = askerOf(name, askers);
			const message = `The archive of ${suite} has no package ${name} for ${arch}, which ${by} asks for.`;
			return new SlipwayError("E_PROFILE_VALUE", message, {
				next: "Correct the name, leave it out for this architecture, or use another base.",
				...(at === undefined ? {} : { at }),
			});
		}),
	);
}

/** What asks for a package, or for whatever brings it; and where. */
export function askerOf(
	name: string,
	{ profile, base, origin, overlays }: Omit<Askers, "file">,
): { by: string; at: Place | undefined } {
	if (profile.packages.includes(name)) return { by: "the profile", at: origin.get(`packages.${name}`) };
	const firmware = firmwarePackages(base, profile).find(({ packages }) => packages.includes(name));
	if (firmware !== undefined) {
		return { by: `the firmware class ${firmware.class}`, at: origin.get(`firmware.${firmware.class}`) };
	}
	const overlay = profile.overlays[overlays.findIndex(({ packages }) => packages.includes(name))];
	if (overlay !== undefined) return { by: `the overlay ${overlay}`, at: origin.get(`overlays.${overlay}`) };
	return { by: `the base ${base.name}`, at: origin.get("base") };
}
