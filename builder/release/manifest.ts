import { z } from "zod";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** `X.manifest.json`: what was shipped, for people and for scanners. Every statement in it can be checked against the ISO. */
export const manifestSchema = z.strictObject({
	format: z.literal(1),
	profile: z.string(),
	product: z.string(),
	version: z.string(),
	arch: z.enum(["amd64", "arm64"]),
	base: z.strictObject({ name: z.string(), title: z.string(), suite: z.string() }),
	/** RFC 3339: SOURCE_DATE_EPOCH, not the time of the build. */
	created: z.string(),
	iso: z.strictObject({ file: z.string(), size: z.int(), sha256 }),
	buildId: sha256,
	rootId: sha256,
	/** Everything is signed with a key that anyone may have made: not for production. */
	developmentKey: z.boolean(),
	keyId: sha256,
	/** Null: not in FIPS mode. */
	fips: z
		.strictObject({
			provider: z.string(),
			version: z.string(),
			stream: z.enum(["fips", "fips-updates", "distribution"]),
			certificate: z.string().nullable(),
			/** True only for stream `fips` with a certificate number. */
			certified: z.boolean(),
			/** What may be said about it, in one sentence. */
			statement: z.string(),
		})
		.nullable(),
	/** Every package of the root image, with its version. */
	packages: z.record(z.string(), z.string()),
	bundles: z.array(
		z.strictObject({
			file: z.string(),
			name: z.string(),
			version: z.string(),
			arch: z.string(),
			fips: z.union([z.boolean(), z.literal("n/a")]),
			required: z.boolean(),
			indexDigest: sha256,
			sha256,
			size: z.int(),
		}),
	),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** What may be said about a FIPS provider, in the manifest, the plan and the boot menu. */
export function fipsStatement(fips: { readonly stream: string; readonly certificate: string | null }): {
	certified: boolean;
	statement: string;
} {
	if (fips.stream === "fips" && fips.certificate !== null) {
		return { certified: true, statement: `Uses a validated module, certificate ${fips.certificate}.` };
	}
	if (fips.stream === "fips") {
		return {
			certified: false,
			statement: "FIPS provider of stream fips, without a certificate number: not called certified.",
		};
	}
	if (fips.stream === "distribution")
		return { certified: false, statement: "FIPS provider of the distribution: not certified." };
	return { certified: false, statement: `FIPS provider of stream ${fips.stream}: not the validated binary.` };
}
