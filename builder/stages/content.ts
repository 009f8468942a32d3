import { z } from "zod";

/** `content.json`: what lies in `content/`, which becomes /content of the ISO. */
export const contentRecord = z.strictObject({
	/** SHA-256 of the content release's payload, hex. */
	release: z.string(),
	files: z.array(z.strictObject({ path: z.string(), size: z.int(), sha256: z.string() })),
	bundles: z.array(
		z.strictObject({
			name: z.string(),
			version: z.string(),
			indexDigest: z.string(),
			required: z.boolean(),
			file: z.string(),
		}),
	),
});
export type ContentRecord = z.infer<typeof contentRecord>;
