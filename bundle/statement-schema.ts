import { arch, bundleName, fipsFlag, sha256, text, version } from "./index-schema.ts";
import { z } from "./zod.ts";

/** The payload of a signed statement, format 1 (docs/trust.md). Unknown keys are refused except under `annotations`. */

const common = {
	format: z.literal(1),
	critical: z.array(text(64)),
	/** Place in the chain, from 1. */
	number: z.int().min(1),
	/** Digest of the statement before this one; null for the first. */
	previous: sha256.nullable(),
	/** For people. */
	reason: text(500),
	annotations: z.record(text(255), z.string().max(4096)),
};

/** SPKI in PEM, with the text in front of it that marks a development key. */
const pem = z
	.string()
	.max(4096)
	.regex(/^[\x20-\x7e\n]*$/, "printable ASCII only");
const keys = z.strictObject({ threshold: z.int().min(1).max(16), keys: z.array(pem).min(1).max(16) });
/** What is denied is named one by one: 1,000 of a kind in one statement. */
const ids = z.array(sha256).max(1000);
const floor = z
	.int()
	.min(0)
	.max(2 ** 31 - 1);

const rotate = z
	.strictObject({ ...common, kind: z.literal("rotate"), release: keys.optional(), root: keys.optional() })
	.refine((s) => s.release !== undefined || s.root !== undefined, "it changes no role");

/** Keys by id, bundles by index digest, releases by the digest of their payload. */
const deny = z
	.strictObject({ ...common, kind: z.literal("deny"), keys: ids, indexes: ids, releases: ids })
	.refine((s) => s.keys.length + s.indexes.length + s.releases.length > 0, "it denies nothing");

/** From now on content of at least this sequence is taken; 0: of any. A floor that is lower stays where it is. */
const floorReset = z
	.strictObject({
		...common,
		kind: z.literal("floor-reset"),
		products: z.array(z.strictObject({ product: text(64), sequence: floor })).max(1000),
		bundles: z.array(z.strictObject({ name: bundleName, arch, fips: fipsFlag, sequence: floor })).max(1000),
	})
	.refine((s) => s.products.length + s.bundles.length > 0, "it resets no floor");

/** The content release `to` may take the place of the content release `from`, though it is older. */
const rollback = z.strictObject({
	...common,
	kind: z.literal("rollback"),
	from: sha256,
	to: sha256,
	/** For people: the version of `to`. */
	version,
});

export const statementSchema = z.discriminatedUnion("kind", [rotate, deny, floorReset, rollback]);
export type Statement = z.infer<typeof statementSchema>;
