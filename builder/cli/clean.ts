import { readdir, rm } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { BlobFolder } from "../oci/blob-folder.ts";
import { PackCache } from "../packs/cache.ts";
import { StageCache } from "../plan/cache.ts";
import { readRecord } from "../plan/records.ts";
import { removeTree } from "../plan/remove-tree.ts";
import type { CommandContext } from "./command.ts";

/** Removes old stage outputs, or with `all` the whole cache and dist/. Keys stay in both cases. Errors: E_BUSY. */
export async function clean({ root, print }: CommandContext, options: { all?: boolean }): Promise<void> {
	const cacheDir = path.join(root, ".cache");
	const cache = new StageCache(cacheDir);
	if ((await cache.sweep()) > 0)
		throw new SlipwayError("E_BUSY", "A build is running, and reads what this would remove.");
	if (options.all === true) {
		await removeTree(cacheDir);
		await rm(path.join(root, "dist"), { recursive: true, force: true });
		print(
			() => "Removed .cache and dist.\n",
			() => ({}),
		);
		return;
	}
	const used = new Set<string>();
	for (const file of await readdir(path.join(cacheDir, "records")).catch(() => [])) {
		const record = await readRecord(cacheDir, path.basename(file, ".json"));
		for (const stage of Object.values(record)) used.add(stage.id);
	}
	const old = (await cache.ids()).filter((id) => !used.has(id));
	for (const id of old) await cache.remove(id);
	const content = await new PackCache(cacheDir, new BlobFolder(path.join(cacheDir, "blobs"))).clean();
	print(
		() =>
			`Removed ${old.length} stage outputs that no profile's last build uses, and ${content} files of unused content.\n`,
		() => ({ stages: old.length, content }),
	);
}
