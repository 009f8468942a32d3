import { createHash, randomBytes } from "node:crypto";
import { chmod, copyFile, mkdir, open, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { beforeEach, expect, test, vi } from "vitest";
import { flip } from "../../test/support/forge.ts";
import { tempDir } from "../../test/support/temp.ts";
import { checkSpace } from "../load/space.ts";
import type { CommittedSet } from "./catalog.ts";
import { fsck } from "./fsck.ts";
import { collectAll } from "./gc.ts";
import { listQuarantine } from "./quarantine.ts";
import { type Blob, Store } from "./store.ts";

/** Two releases are kept; what goes, what stays, and what becomes of a store whose records are lost. */

let folder = "";
beforeEach(async () => {
	folder = join(await tempDir(), "store");
});

interface Made extends Blob {
	readonly data: Buffer;
}

function blob(size: number): Made {
	const data = randomBytes(size);
	return { data, size, digest: `sha256:${createHash("sha256").update(data).digest("hex")}` };
}

async function take(store: Store, blobs: readonly Made[]): Promise<void> {
	for (const { digest, data } of blobs) {
		await mkdir(dirname(store.path(digest)), { recursive: true });
		await writeFile(store.path(digest), data);
	}
	await store.adopt(blobs);
}

/** Takes and commits a release as a load does: its own blobs and documents, nothing else named. */
async function release(store: Store, name: string, blobs: readonly Made[]): Promise<CommittedSet> {
	await store.sweep(blobs.map((b) => b.digest));
	await take(store, await store.untrusted(blobs));
	const [id, bundle] = [name.repeat(64), createHash("sha256").update(name).digest("hex")];
	await store.keepSigned(`${id}.release.json`, Buffer.from(name));
	await store.keepSigned(`${bundle}.index.json`, Buffer.from(name));
	const evidence = await Promise.all(
		blobs.map(async (b) => [b.digest, (await store.trusted(b.digest, b.size))!] as const),
	);
	const set = { release: id, bundles: [bundle], blobs: Object.fromEntries(evidence) };
	await store.commit(set);
	await store.sweep();
	return set;
}

const MIB = 2 ** 20;
/** Bytes that a folder takes of its disk. */
async function blocks(path: string): Promise<number> {
	const stats = (await readdir(path, { recursive: true })).map((name) => stat(join(path, name)));
	return (await Promise.all(stats)).reduce((sum, each) => sum + each.blocks * 512, 0);
}
const documents = async () => (await readdir(join(folder, "signed"))).map((name) => name.slice(0, 1)).sort();
const held = async (store: Store, ...blobs: readonly Made[]) => blobs.length - (await store.untrusted(blobs)).length;
const [shared, a, b, c] = [blob(3000), blob(100), blob(200), blob(300)];

test("the last two releases are kept with blobs and documents, and the one before them goes", async () => {
	const store = await Store.open(folder);
	await release(store, "1", [shared, a]);
	expect(store.previous).toBeUndefined();
	await release(store, "2", [shared, b]);
	expect([store.catalog?.release[0], store.previous?.release[0]]).toEqual(["2", "1"]);
	expect(await held(store, shared, a, b)).toBe(3);
	await release(store, "3", [c]);
	expect([await held(store, shared, b, c), await held(store, a)]).toEqual([3, 0]);
	expect((await documents()).filter((name) => name === "1")).toEqual([]);
	expect((await documents()).filter((name) => name === "2" || name === "3")).toEqual(["2", "3"]);
	const again = await Store.open(folder);
	expect([again.catalog, await held(again, shared, b, c)]).toEqual([store.catalog, 3]);
});

test("the same release committed again is a repair: it does not push the previous one out", async () => {
	const store = await Store.open(folder);
	await release(store, "1", [shared, a]);
	await release(store, "2", [shared, b]);
	await store.quarantine(shared.digest);
	const repaired = await release(store, "2", [shared, b]);
	expect(store.previous?.release[0]).toBe("1");
	// The previous release has the shared blob in its new file, so it can be gone back to.
	expect(store.previous?.blobs[shared.digest]).toEqual(repaired.blobs[shared.digest]);
	expect(await held(await Store.open(folder), shared, a, b)).toBe(3);
});

test("going back swaps the two releases, and is refused when a blob is lost", async () => {
	const store = await Store.open(folder);
	await expect(store.activatePrevious()).rejects.toMatchObject({ code: "E_BLOB_MISSING" });
	await release(store, "1", [shared, a]);
	await release(store, "2", [shared, b]);
	await store.activatePrevious();
	await store.sweep();
	const again = await Store.open(folder);
	expect([again.catalog?.release[0], again.previous?.release[0]]).toEqual(["1", "2"]);
	expect(await held(again, shared, a, b)).toBe(3);
	await again.quarantine(b.digest);
	const before = await readFile(join(folder, "catalog.json"), "utf8");
	await expect(again.activatePrevious()).rejects.toMatchObject({ code: "E_BLOB_MISSING" });
	expect(await readFile(join(folder, "catalog.json"), "utf8")).toBe(before);
});

test("a release that has lost a blob is not kept as the previous one, and any can be given up for room", async () => {
	const store = await Store.open(folder);
	await release(store, "1", [a]);
	await store.quarantine(a.digest);
	await release(store, "2", [b]);
	expect(store.previous).toBeUndefined();
	await release(store, "3", [c]);
	expect(store.previous?.release[0]).toBe("2");
	await store.forgetPrevious();
	expect([await store.gc(), (await Store.open(folder)).previous]).toEqual([
		{ blobs: 1, documents: 2, bytes: 202 },
		undefined,
	]);
});

test("where a load does not fit beside it, the previous release makes room", async () => {
	const store = await Store.open(folder);
	await release(store, "1", [a]);
	await release(store, "2", [b]);
	const index = (size: number) => ({ blobs: [{ digest: c.digest, size, tarOffset: 0, frame: 0 }] });
	await checkSpace(store, [index(c.size)]);
	expect(store.previous?.release[0]).toBe("1");
	await expect(checkSpace(store, [index(2 ** 50)])).rejects.toMatchObject({ code: "E_NO_SPACE" });
	expect([store.previous?.release[0], await held(store, a, b)]).toEqual(["1", 2]); // it would be of no help

	// What lies in the quarantine goes first, and is enough for a file of that size.
	const used = await blocks(folder);
	const room = join(folder, "quarantine");
	await mkdir(room);
	await writeFile(join(room, "bad"), randomBytes(4 * MIB));
	await checkSpace(store, [index(MIB)], Math.ceil(used / MIB) + 2);
	expect([await readdir(room), store.previous?.release[0]]).toEqual([[], "1"]);

	// So much that only the previous release's blob is in the way.
	await writeFile(store.path(a.digest), randomBytes(8 * MIB));
	await checkSpace(store, [index(2 * MIB)], Math.ceil(used / MIB) + 4);
	expect([store.previous, await held(store, a), await held(store, b)]).toEqual([undefined, 0, 1]);
});

test("many small blobs count with the blocks that they take", async () => {
	const store = await Store.open(folder);
	const blobs = Array.from({ length: 1000 }, (_, i) => ({
		digest: `sha256:${String(i).padStart(64, "0")}`,
		size: 1,
		tarOffset: 0,
		frame: 0,
	}));
	await expect(checkSpace(store, [{ blobs }], 3)).rejects.toMatchObject({ code: "E_NO_SPACE" });
	await checkSpace(store, [{ blobs }], 16);
});

test("a catalog of the first form, without a previous release, is read", async () => {
	const store = await Store.open(folder);
	await release(store, "1", [a]);
	expect(JSON.parse(await readFile(join(folder, "catalog.json"), "utf8"))).toEqual({
		format: 1,
		release: "1".repeat(64),
		bundles: store.catalog?.bundles,
		blobs: store.catalog?.blobs,
	});
});

test("a damaged catalog is moved aside and told; its blobs stay, and a whole read takes them for good again", async () => {
	await release(await Store.open(folder), "1", [shared, a, b]);
	const file = join(folder, "catalog.json");
	await writeFile(file, (await readFile(file)).subarray(0, 100));
	const store = await Store.open(folder);
	expect([store.damage?.code, store.catalog, (await stat(`${file}.bad`)).size]).toEqual(["E_STORE", undefined, 100]);
	expect(await held(store, shared, a, b)).toBe(0);
	await writeFile(store.path(a.digest), flip(await readFile(store.path(a.digest)), 50));

	await store.sweep([shared, a, b].map((x) => x.digest));
	const { ino } = await stat(store.path(shared.digest));
	expect(await store.adopt([shared, a, b])).toEqual([a]);
	expect([await held(store, shared, b), await held(store, a)]).toEqual([2, 0]);
	expect((await stat(store.path(shared.digest))).ino).toBe(ino);
	expect((await listQuarantine(folder)).map(({ hex }) => `sha256:${hex}`)).toEqual([a.digest]);
	// And they are still taken for good after a restart that comes before the commit.
	const again = await Store.open(folder);
	expect(await held(again, shared, b)).toBe(2);

	// Till then nobody knows what is needed: nothing goes, and nothing is called right.
	await expect(collectAll(again)).rejects.toMatchObject({ code: "E_STORE" });
	await again.sweep();
	expect(await held(again, shared, b)).toBe(2);
	const report = await fsck(again, { mode: "quick", condemn: async () => undefined });
	expect([report.ok, report.documents[0]?.name]).toEqual([false, "catalog.json"]);
	await release(again, "1", [shared, b]);
	const { damage } = await Store.open(folder);
	expect([damage, await collectAll(again)]).toEqual([undefined, expect.objectContaining({ blobs: 0, bytes: 100 })]);
});

test("a store that was copied to another disk needs no medium", async () => {
	const store = await Store.open(folder);
	await release(store, "1", [shared]);
	const path = store.path(shared.digest);
	await copyFile(path, `${path}.copy`);
	await rename(`${path}.copy`, path);
	const copied = await Store.open(folder);
	expect(await held(copied, shared)).toBe(0);
	await copied.adopt([shared]);
	expect(await held(await Store.open(folder), shared)).toBe(1);
});

test("a catalog that cannot be read for want of rights or descriptors is no damage", async () => {
	await release(await Store.open(folder), "1", [a]);
	const before = await readFile(join(folder, "catalog.json"), "utf8");
	await rename(join(folder, "catalog.json"), join(folder, "kept"));
	await mkdir(join(folder, "catalog.json")); // EISDIR stands for what root cannot be refused
	await expect(Store.open(folder)).rejects.toMatchObject({ code: "EISDIR" });
	expect(await readFile(join(folder, "kept"), "utf8")).toBe(before);
});

test("a collection during a load leaves what the load has made, and documents that are not yet named", async () => {
	const store = await Store.open(folder);
	await release(store, "1", [a]);
	await store.sweep([b.digest]);
	await take(store, [b]);
	await store.keepSigned(`${"2".repeat(64)}.release.json`, Buffer.from("2"));
	const empty = join(folder, "blobs/sha512/ab"); // made by the load, which is about to put a blob there
	await mkdir(empty);
	await writeFile(join(folder, "signed", `${"2".repeat(64)}.index.json.new`), "half written");
	expect(await store.gc()).toEqual({ blobs: 0, documents: 0, bytes: 0 });
	expect((await stat(empty)).isDirectory()).toBe(true);
	expect(await held(store, a, b)).toBe(2);
	expect((await store.sweep()).blobs).toBe(1); // the load was given up
	expect(await held(store, a, b)).toBe(1);
	const prefixes = await readdir(join(folder, "blobs", "sha256"));
	expect(prefixes).toEqual([a.digest.slice(7, 9)]); // no empty folder stays
});

test("a blob that is being read may be collected: the descriptor holds its bytes", async () => {
	const store = await Store.open(folder);
	await release(store, "1", [a]);
	await store.sweep([c.digest]);
	await take(store, [c]);
	const handle = await store.open(c.digest);
	await store.sweep();
	await expect(stat(store.path(c.digest))).rejects.toMatchObject({ code: "ENOENT" });
	expect(await handle.readFile()).toEqual(c.data);
	await handle.close();
});

test("collections that are asked for at once run one after the other, and a load waits for them", async () => {
	const store = await Store.open(folder);
	await release(store, "1", [a]);
	const stray = Array.from({ length: 50 }, () => blob(10));
	for (const { digest, data } of stray) {
		await mkdir(join(store.path(digest), ".."), { recursive: true });
		await writeFile(store.path(digest), data);
	}
	const keep = stray.slice(0, 25);
	const [first, second] = await Promise.all([store.gc(), store.gc(), store.sweep(keep.map((x) => x.digest))]);
	expect(first.blobs + second.blobs).toBe(50); // what the load wants was asked for too late, and is loaded
	await store.adopt(keep);
	expect(await held(store, ...keep)).toBe(0);
});

test("quarantine has a limit, is never served from, and does not take a repaired file", async () => {
	const store = await Store.open(folder);
	const many = Array.from({ length: 20 }, () => blob(10));
	await release(store, "1", many);
	for (const { digest } of many) expect(await store.quarantine(digest)).toBe(true);
	const kept = await listQuarantine(folder);
	expect(kept.length).toBe(16);
	expect(kept.map(({ hex }) => `sha256:${hex}`)).toContain(many.at(-1)!.digest);
	for (const { digest } of many) await expect(store.open(digest)).rejects.toMatchObject({ code: "ENOENT" });

	await release(store, "1", many);
	const seen = (await store.trusted(many[0]!.digest, 10))!;
	await chmod(store.path(many[0]!.digest), 0o600); // now another file than the one that was seen
	expect(await store.quarantine(many[0]!.digest, seen)).toBe(false);
	expect((await stat(store.path(many[0]!.digest))).size).toBe(10);
});

test("the look of thousands of blobs is asked for in parallel", async () => {
	const store = await Store.open(folder);
	const many = Array.from({ length: 600 }, () => blob(4));
	await release(store, "1", many);
	let [now, most] = [0, 0];
	const trusted = store.trusted.bind(store);
	vi.spyOn(store, "trusted").mockImplementation(async (...args) => {
		most = Math.max(most, ++now);
		return trusted(...args).finally(() => now--);
	});
	expect([await store.untrusted(many), most]).toEqual([[], 256]);
	const handle = await open(store.path(many[500]!.digest), "r+");
	await handle.write("x");
	await handle.close();
	expect(await store.untrusted(many)).toEqual([many[500]]);
});
