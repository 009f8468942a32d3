import { join } from "node:path";
import { z } from "zod";
import { API_VERSION } from "../profile/words.ts";
import { loadYaml } from "../yaml/load.ts";

const unit = z.string().regex(/^[A-Za-z0-9@:_.-]+\.(service|socket|target|timer|path|mount)$/, "a unit's name");
const path = z
	.string()
	.regex(/^[A-Za-z0-9_@+.-]+(\/[A-Za-z0-9_@+.-]+)*$/, "a path below files/, without a leading slash");

/** `overlays/NAME/overlay.yaml`; the files lie in `files/` beside it. */
export const overlayManifest = z.strictObject({
	apiVersion: z.literal(API_VERSION),
	kind: z.literal("Overlay"),
	description: z.string().describe("One line that says what it is for"),
	packages: z
		.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/))
		.default([])
		.describe("Packages it needs"),
	units: z
		.strictObject({
			enable: z.array(unit).default([]).describe("Units that multi-user.target starts"),
			mask: z.array(unit).default([]).describe("Units that nothing can start"),
		})
		.prefault({}),
	files: z
		.record(
			path,
			z.strictObject({
				mode: z
					.string()
					.regex(/^0[0-7]{3}$/, 'octal in quotes, such as "0755"')
					.default("0644"),
				uid: z.int().min(0).default(0),
				gid: z.int().min(0).default(0),
			}),
		)
		.default({})
		.describe("Files with other rights than root's 0644"),
});
export type OverlayManifest = z.infer<typeof overlayManifest>;

/** Folder of an overlay. */
export function overlayFolder(root: string, name: string): string {
	return join(root, "overlays", name);
}

/** Errors: E_OVERLAY_NOT_FOUND, E_PROFILE_KEY, E_PROFILE_VALUE, E_YAML_SYNTAX. */
export async function loadOverlay(root: string, name: string): Promise<OverlayManifest> {
	return (await loadYaml(join(overlayFolder(root, name), "overlay.yaml"), overlayManifest, "E_OVERLAY_NOT_FOUND"))
		.value;
}
