import { arch, bundleName, digest, fipsFlag, sequence, sha256, version } from "./index-schema.ts";
import { z } from "./zod.ts";

/**
 * What a box holds, for a builder that makes a bundle of only what it lacks. Both sides share the form. It is not signed: a
 * wrong one can only make a bundle that is too large, or one that the box refuses for what is missing.
 */
export const inventory = z.strictObject({
	format: z.literal(1),
	/** The served release, then the one before it if that is kept. */
	releases: z.array(
		z.strictObject({
			role: z.enum(["current", "previous"]),
			version,
			sequence,
			digest: sha256.describe("SHA-256 of the release's payload"),
			bundles: z.array(sha256).describe("Index digests of its bundles that are here"),
		}),
	),
	bundles: z.array(z.strictObject({ indexDigest: sha256, name: bundleName, version, arch, fips: fipsFlag, sequence })),
	blobs: z.array(z.strictObject({ digest, size: z.int().min(0) })),
});
export type Inventory = z.infer<typeof inventory>;
