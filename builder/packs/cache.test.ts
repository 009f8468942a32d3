import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nameOf, packOf, putImage } from "../../test/support/bundles.ts";
import { folderWith } from "../../test/support/packs.ts";
import { BlobFolder } from "../oci/blob-folder.ts";
import { PackCache } from "./cache.ts";
import type { Pack } from "./pack.ts";

async function cacheWith(...ids: string[]) {
	const dir = await folderWith();
	const blobs = new BlobFolder(join(dir, "blobs"));
	const cache = new PackCache(dir, blobs);
	for (const id of ids) {
		const image = await putImage(blobs.dir, { seed: id });
		await cache.keep(id, { pack: packOf("app", [nameOf("example.com/a/b:1", image)]) as Pack, exceptions: ["text"] });
	}
	return { dir, blobs, cache };
}

test("an entry counts while every blob of it is there, and only whole", async () => {
	const { dir, cache, blobs } = await cacheWith("one");
	const found = await cache.find("one");
	expect(found).toMatchObject({ pack: { name: "app" }, exceptions: ["text"] });
	expect(await cache.find("two")).toBeUndefined();
	await writeFile(join(dir, "packs", "two.json"), '{"pack":');
	expect(await cache.find("two")).toBeUndefined();
	const manifest = found!.pack.names[0]!.digest;
	const [layer] = JSON.parse((await blobs.read(manifest)).toString()).layers;
	await writeFile(blobs.path(layer.digest), "shorter");
	expect(await cache.find("one")).toBeUndefined();
});

test("clean takes what is old and unused, and what killed builds left; nothing that a running build may need", async () => {
	const { dir, cache, blobs } = await cacheWith("used", "unused");
	await blobs.put(Buffer.from("of no pack"));
	await writeFile(join(blobs.dir, ".left.tmp"), "");
	expect(await cache.clean()).toBe(0);
	const days = (count: number) => Date.now() + count * 24 * 3600 * 1000;
	expect(await cache.clean(days(2))).toBe(2); // the stray blob and the temporary file
	expect(await cache.find("unused")).toBeDefined();
	await rm(join(dir, "packs", "unused.json"));
	expect(await cache.clean(days(2))).toBe(3); // its config, layer and manifest
	expect(await cache.find("used")).toBeDefined();
	expect(await cache.clean(days(15))).toBe(4);
	expect(await readdir(join(blobs.dir, "sha256"))).toEqual([]);
});
