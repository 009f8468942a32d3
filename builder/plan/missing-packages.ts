import { type Place, SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { firmwarePackages } from "../archive/packages.ts";
import type { ResolvedProfile } from "../profile/resolve.ts";
import type { OverlayManifest } from "../stages/overlay-manifest.ts";
import { MissingPackages } from "../tools/mmdebstrap.ts";

/** What asks for packages. */
export interface Askers extends Pick<ResolvedProfile, "profile" | "base" | "origin"> {
	readonly overlays: readonly OverlayManifest[];
}

/**
 * Packages that the archive does not have, each told where it is asked for; any other error as it is. A package may exist for
 * another architecture only: an archive's index holds no others, so that cannot be told apart.
 */
export function placed(error: unknown, askers: Askers): unknown {
	if (!(error instanceof MissingPackages)) return error;
	return new SlipwayErrors(
		[...error.names].sort().map((name) => {
			const { by, at } = askerOf(name, askers);
			const message = `The archive of ${error.suite} has no package ${name} for ${error.arch}, which ${by} asks for.`;
			return new SlipwayError("E_PROFILE_VALUE", message, {
				next: "Correct the name, leave it out for this architecture, or use another base.",
				...(at === undefined ? {} : { at }),
			});
		}),
	);
}

function askerOf(name: string, { profile, base, origin, overlays }: Askers): { by: string; at: Place | undefined } {
	if (profile.packages.includes(name)) return { by: "the profile", at: origin.get(`packages.${name}`) };
	const firmware = firmwarePackages(base, profile).find(({ packages }) => packages.includes(name));
	if (firmware !== undefined) {
		return { by: `the firmware class ${firmware.class}`, at: origin.get(`firmware.${firmware.class}`) };
	}
	const overlay = profile.overlays[overlays.findIndex(({ packages }) => packages.includes(name))];
	if (overlay !== undefined) return { by: `the overlay ${overlay}`, at: origin.get(`overlays.${overlay}`) };
	return { by: `the base ${base.name}`, at: origin.get("base") };
}
