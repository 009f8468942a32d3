import { readdir, utimes, writeFile } from "node:fs/promises";
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
	const age = async (file: string, days: number) => {
		const time = new Date(Date.now() - days * 24 * 3600 * 1000);
		await utimes(file, time, time);
	};
	return { dir, blobs, cache, age };
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

test("clean takes what is old and unused, and what killed builds left", async () => {
	const { dir, cache, blobs, age } = await cacheWith("used", "unused");
	await blobs.put(Buffer.from("just written by a build that runs"));
	await writeFile(join(blobs.dir, ".left.tmp"), "");
	await age(join(blobs.dir, ".left.tmp"), 2);
	const sha256 = join(blobs.dir, "sha256");
	for (const name of await readdir(sha256)) await age(join(sha256, name), 30);
	await blobs.put(Buffer.from("just written by another build"));
	for (const id of ["used", "unused"]) await age(join(dir, "packs", `${id}.json`), 30);
	await cache.find("used");
	// The entry, its config, layer and manifest, the old stray blob and the temporary file.
	expect(await cache.clean()).toBe(6);
	expect(await cache.find("used")).toBeDefined();
	expect(await cache.find("unused")).toBeUndefined();
	expect(await readdir(sha256)).toHaveLength(4);
	expect(await cache.clean()).toBe(0);
});
