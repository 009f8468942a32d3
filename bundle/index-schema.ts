import { z } from "./zod.ts";

/**
 * The payload of a bundle's signed index, format 1 (docs/bundle-format.md, "Index payload").
 * Unknown keys are refused except under `annotations`. Sizes and offsets are bytes.
 */

/** Printable ASCII: signed text ends on consoles and web pages. */
export const text = (max: number) =>
	z
		.string()
		.max(max)
		.regex(/^[\x20-\x7e]*$/, "printable ASCII only");
const count = z.int().min(0);

const DIGEST_FORM = "sha256: or sha512: and lower-case hex";
export const digest = z.string(DIGEST_FORM).regex(/^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/, DIGEST_FORM);
/** True for an issue with a `digest`: those have a code of their own. */
export const isDigestIssue = (issue: z.core.$ZodIssue) => issue.message === DIGEST_FORM;
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "64 lower-case hex digits");
export const bundleName = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/);
export const version = z.string().regex(/^[0-9A-Za-z][0-9A-Za-z.+_~-]{0,127}$/);
export const sequence = z
	.int()
	.min(1)
	.max(2 ** 31 - 1);
export const arch = z.enum(["amd64", "arm64", "any"]);
export const fipsFlag = z.union([z.boolean(), z.literal("n/a")]);

/**
 * A full reference: `host/path:tag`, or `host/path@digest` for what has no tag (referrers, images pinned by digest).
 * The repository part keeps the original host, as in `docker.io/library/nginx`.
 */
export const ref = z
	.string()
	.max(512)
	.regex(
		/^[a-z0-9]+(?:[._:-][a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)+(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|@sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128}))$/,
	);

export const packRecord = z.strictObject({
	name: bundleName,
	version,
	layer: z.enum(["os", "k8s", "cni", "csi", "addon", "app"]),
	arch,
	fips: fipsFlag,
	licence: text(200),
	names: z.array(ref),
});

export const nameRecord = z.strictObject({
	ref,
	digest,
	mediaType: text(255),
	size: count,
	/** For a multi-arch index: `os/arch[/variant]` of the children that are present. */
	platforms: z.array(text(64)),
	/** Digests of the children that were left out; the index itself keeps its bytes. */
	absent: z.array(digest),
});

export const bundleIndex = z.strictObject({
	format: z.literal(1),
	critical: z.array(text(64)),
	name: bundleName,
	version,
	sequence,
	arch,
	fips: fipsFlag,
	product: text(64),
	productVersions: z.array(text(64)),
	cloudTypes: z.array(text(64)),
	useCases: z.array(text(64)),
	minAgent: text(64),
	/** RFC 3339, UTC, whole seconds; for people, never for trust. */
	created: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
	writer: z.record(text(64), text(128)),
	packs: z.array(packRecord),
	names: z.array(nameRecord),
	files: z.array(z.strictObject({ name: z.enum(["oci-layout", "index.json"]), sha256, size: count, tarOffset: count })),
	blobs: z.array(z.strictObject({ digest, size: count, tarOffset: count, frame: count })).max(100_000),
	/** [compressed size, plain size, SHA-256 of the compressed bytes] of each data frame, in file order. */
	frames: z
		.array(
			z.tuple([
				z.int().min(1),
				z
					.int()
					.min(1)
					.max(8 * 1024 * 1024),
				sha256,
			]),
		)
		.max(2 ** 20),
	requires: z.array(sha256),
	exceptions: z.array(text(500)),
	dataLength: count,
	annotations: z.record(text(255), z.string().max(4096)),
});

export type BundleIndex = z.infer<typeof bundleIndex>;
export type NameRecord = z.infer<typeof nameRecord>;
export type PackRecord = z.infer<typeof packRecord>;

/** Payload types of the DSSE envelopes: one key may sign several kinds of document, so the kind is signed too. */
export const PAYLOAD_TYPE = {
	bundleIndex: "application/vnd.slipway.bundle-index.v1+json",
	contentRelease: "application/vnd.slipway.content-release.v1+json",
	isoRelease: "application/vnd.slipway.iso-release.v1+json",
	statement: "application/vnd.slipway.statement.v1+json",
} as const;

/** A signed list of bundles that belong together (DESIGN section 1). */
export const contentRelease = z.strictObject({
	format: z.literal(1),
	critical: z.array(text(64)),
	product: text(64),
	version,
	sequence,
	bundles: z
		.array(
			z.strictObject({ name: bundleName, version, arch, fips: fipsFlag, indexDigest: sha256, required: z.boolean() }),
		)
		.min(1),
	/** Ids of the root images that this release fits; empty: any root image that trusts the key. */
	roots: z.array(sha256),
	releasedAt: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
	audience: text(64),
	annotations: z.record(text(255), z.string().max(4096)),
});
export type ContentRelease = z.infer<typeof contentRelease>;

/** A signed list for one ISO: what the medium holds besides content. Digests are SHA-256 in hex. */
export const isoRelease = z.strictObject({
	format: z.literal(1),
	critical: z.array(text(64)),
	product: text(64),
	version,
	arch,
	fips: z.boolean(),
	buildId: sha256,
	rootId: sha256,
	files: z.array(z.strictObject({ path: text(255), size: count, sha256 })),
	/** SHA-256 of the content release's payload. */
	contentRelease: sha256,
	annotations: z.record(text(255), z.string().max(4096)),
});
export type IsoRelease = z.infer<typeof isoRelease>;
