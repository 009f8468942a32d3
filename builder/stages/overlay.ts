import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { z } from "zod";
import { SlipwayError } from "../../bundle/errors.ts";
import { FileTree } from "../oci/file-tree.ts";
import type { Stage } from "../plan/stage.ts";
import { codeOf } from "./code.ts";
import { loadOverlay, type OverlayManifest, overlayFolder } from "./overlay-manifest.ts";
import { writeTreeTar } from "./tree-tar.ts";

const options = z.strictObject({ overlays: z.array(z.string()), epoch: z.int() });

/** The profile's overlays as one tar, later ones over earlier ones. */
export const overlay: Stage<z.infer<typeof options>> = {
	name: "overlay",
	summary: "Lay the overlays' files and units together",
	options,
	inputs: [],
	plan: (build) => ({ overlays: [...build.profile.overlays], epoch: build.archiveEpoch }),
	sources: (build) => [
		...codeOf(import.meta.filename),
		...build.profile.overlays.map((name) => overlayFolder(build.root, name)),
	],
	space: () => 50_000_000,
	async run({ build, options: o, out }) {
		const tree = new FileTree();
		for (const name of o.overlays) {
			const manifest = await loadOverlay(build.root, name);
			await addFiles(tree, join(overlayFolder(build.root, name), "files"), manifest);
			addUnits(tree, manifest);
		}
		await writeTreeTar(join(out, "overlay.tar"), tree, o.epoch);
	},
};

/** Rights come from the manifest alone: those in a checkout depend on who made it. */
async function addFiles(tree: FileTree, folder: string, manifest: OverlayManifest): Promise<void> {
	const unused = new Set(Object.keys(manifest.files));
	for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
		const file = join(entry.parentPath, entry.name);
		if (!entry.isFile()) {
			if (entry.isDirectory()) continue;
			throw new SlipwayError("E_PROFILE_VALUE", `${file} is neither a file nor a folder.`);
		}
		const path = relative(folder, file);
		unused.delete(path);
		const { mode, uid, gid } = manifest.files[path] ?? { mode: "0644", uid: 0, gid: 0 };
		const content = { file, size: (await stat(file)).size };
		tree.set(path, { type: "file", mode: Number.parseInt(mode, 8), uid, gid, content });
	}
	if (unused.size > 0)
		throw new SlipwayError(
			"E_PROFILE_VALUE",
			`${folder} lacks what its overlay.yaml names: ${[...unused].join(", ")}.`,
		);
}

function addUnits(tree: FileTree, { units }: OverlayManifest): void {
	const link = (target: string) => ({ type: "symlink", mode: 0o777, uid: 0, gid: 0, target }) as const;
	for (const unit of units.enable) {
		tree.set(`etc/systemd/system/multi-user.target.wants/${unit}`, link(`/usr/lib/systemd/system/${unit}`));
	}
	for (const unit of units.mask) tree.set(`etc/systemd/system/${unit}`, link("/dev/null"));
}
