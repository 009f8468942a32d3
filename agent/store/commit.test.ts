import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { expect, test, vi } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { Ingest } from "./ingest.ts";
import { Store } from "./store.ts";

const fault = vi.hoisted(() => ({ armed: false }));
vi.mock("./files.ts", async (original) => {
	const files = await original<typeof import("./files.ts")>();
	return {
		...files,
		replaceFile: async (...args: Parameters<typeof files.replaceFile>) => {
			await files.replaceFile(...args);
			if (fault.armed) throw Object.assign(new Error("EIO: fsync"), { code: "EIO" }); // after the rename
		},
	};
});

async function take(store: Store, text: string) {
	const [data, digest] = [Buffer.from(text), `sha256:${createHash("sha256").update(text).digest("hex")}`];
	const ingest = new Ingest(store);
	await ingest.write(digest, [data]);
	await ingest.done(digest);
	await ingest.settle();
	await ingest.close();
	const blobs = { [digest]: (await store.trusted(digest, data.length))! };
	return { digest, set: { release: createHash("sha256").update(digest).digest("hex"), bundles: [], blobs } };
}

test("a commit of which nobody knows whether it was done leaves both sets whole", async () => {
	const folder = await tempDir();
	const store = await Store.open(folder);
	const [old, next] = [await take(store, "old"), await take(store, "new")];
	await store.commit(old.set);
	await store.keepSigned(`${next.set.release}.release.json`, Buffer.from("signed"));
	fault.armed = true;
	await expect(store.commit(next.set)).rejects.toThrow("EIO");
	fault.armed = false;
	await store.sweep();
	expect(store.catalog?.release).toBe(old.set.release);
	const again = await Store.open(folder);
	expect([again.catalog?.release, again.previous?.release]).toEqual([next.set.release, old.set.release]);
	await stat(`${folder}/signed/${next.set.release}.release.json`);
	for (const { digest } of [old, next]) await stat(again.path(digest));
});
