import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { archiveResolve } from "../archive/answer.ts";

/** `content.json`: what lies in `content/`, which becomes /content of the ISO. */
const contentRecord = z.strictObject({
	/** SHA-256 of the content release's payload, hex. */
	release: z.string(),
	files: z.array(z.strictObject({ path: z.string(), size: z.int(), sha256: z.string() })),
	bundles: z.array(
		z.strictObject({
			file: z.string(),
			name: z.string(),
			version: z.string(),
			arch: z.string(),
			fips: z.union([z.boolean(), z.literal("n/a")]),
			required: z.boolean(),
			indexDigest: z.string(),
			sha256: z.string(),
			size: z.int(),
		}),
	),
	/** Package set of each bundle that has images made from packages. */
	archives: z.record(z.string(), archiveResolve),
	signatures: z.record(z.string(), z.string()),
});
export type ContentRecord = z.infer<typeof contentRecord>;

/** Reads `content.json` of the stage's output. */
export async function readContentRecord(folder: string): Promise<ContentRecord> {
	return contentRecord.parse(JSON.parse(await readFile(join(folder, "content.json"), "utf8")));
}
