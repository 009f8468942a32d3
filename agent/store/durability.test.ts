import { createHash } from "node:crypto";
import { type FileHandle, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test, vi } from "vitest";
import { makeContent } from "../../test/support/content.ts";
import { rot } from "../../test/support/rot.ts";
import { tempDir } from "../../test/support/temp.ts";
import { startAgent } from "../agent.ts";
import { StoreSource } from "./source.ts";
import { Store } from "./store.ts";

/**
 * What a power cut at any instant leaves is decided by the order of writes, syncs and renames. This records that order in a
 * real load and checks it; taking one of the syncs away makes it fail.
 */

interface Op {
	readonly what: "write" | "sync" | "rename";
	readonly path: string;
	readonly to?: string;
}
const log: Op[] = vi.hoisted(() => []);
/** What a disk does that takes no writes any more. */
const disk = vi.hoisted(() => ({ readOnly: false }));

vi.mock("node:fs/promises", async (original) => {
	const fs = await original<typeof import("node:fs/promises")>();
	const refuse = () => Promise.reject(Object.assign(new Error("read-only file system"), { code: "EROFS" }));
	const watch = (path: string, handle: FileHandle) =>
		new Proxy(handle, {
			get(target, name) {
				const value = Reflect.get(target, name) as unknown;
				if (typeof value !== "function") return value;
				return async (...args: unknown[]) => {
					const result = await value.apply(target, args);
					if (name === "write" || name === "writev" || name === "writeFile") log.push({ what: "write", path });
					if (name === "sync" || name === "datasync") log.push({ what: "sync", path });
					return result;
				};
			},
		});
	return {
		...fs,
		open: async (...args: Parameters<typeof fs.open>) => watch(String(args[0]), await fs.open(...args)),
		rm: (...args: Parameters<typeof fs.rm>) => (disk.readOnly ? refuse() : fs.rm(...args)),
		mkdir: (...args: Parameters<typeof fs.mkdir>) => (disk.readOnly ? refuse() : fs.mkdir(...args)),
		rename: async (from: string, to: string) => {
			if (disk.readOnly) await refuse();
			await fs.rename(from, to);
			log.push({ what: "rename", path: from, to });
		},
	};
});

const at = (op: Partial<Op>, from = 0) =>
	log.findIndex((o, i) => i >= from && Object.entries(op).every(([key, value]) => o[key as keyof Op] === value));

test("data before names, names before folders, everything before the catalog", async () => {
	const content = await makeContent(await tempDir(), [
		{ refs: ["a.local/b/one:1", "a.local/b/two:2"], layers: [2_500_000, 10], input: { name: "one" } },
		{ refs: ["a.local/c/three:3"], input: { name: "two" } },
	]);
	log.length = 0;
	const agent = await startAgent(content.config(), { kernel: { rootId: null, checkMedium: false } });
	await agent.settled;
	await agent.stop();
	expect(agent.state.status.stage).toBe("ready");

	const store = join(content.dir, "store", "store");
	const commit = at({ what: "rename", to: join(store, "catalog.json") });
	expect(commit).toBeGreaterThan(0);
	const kept = log.filter((o) => o.what === "rename" && o.to?.startsWith(store) === true);
	const blobs = content.bundles.reduce((sum, bundle) => sum + bundle.index.blobs.length, 0);
	expect(kept.length).toBe(blobs + 2 * content.bundles.length + 1 + 1);
	for (const { path, to } of kept) {
		const renamed = at({ what: "rename", path, to: to! });
		const written = log.findLastIndex((o, i) => i < renamed && o.what === "write" && o.path === path);
		const synced = log.findIndex((o, i) => i > written && i < renamed && o.what === "sync" && o.path === path);
		expect([to, synced > written && synced < renamed]).toEqual([to, true]);
		const folder = at({ what: "sync", path: join(to!, "..") }, renamed);
		expect([to, folder > renamed]).toEqual([to, true]);
		if (renamed !== commit) expect([to, renamed < commit && folder < commit]).toEqual([to, true]);
	}
	// A new folder is itself an entry that must last: the store's own ones, and those for digests' prefixes.
	const floors = join(store, "..", "state"); // which holds `trust/`, where the floors are
	for (const parent of [join(store, ".."), store, join(store, "blobs"), join(store, "blobs", "sha256"), floors]) {
		const synced = at({ what: "sync", path: parent });
		expect([parent, synced >= 0 && synced < commit]).toEqual([parent, true]);
	}
});

/** A store that has committed one blob of 10 bytes. */
async function oneBlob() {
	const store = await Store.open(join(await tempDir(), "store"));
	const data = Buffer.from("ten bytes!");
	const digest = `sha256:${createHash("sha256").update(data).digest("hex")}`;
	const path = store.path(digest);
	await mkdir(dirname(path), { recursive: true });
	await writeFile(path, data);
	log.length = 0;
	await store.adopt([{ digest, size: data.length }]);
	const seen = await store.trusted(digest, data.length);
	await store.commit({ release: "1".repeat(64), bundles: [], blobs: { [digest]: seen! } });
	return { store, digest, path };
}

test("a blob that is taken for good again by a whole read is durable, and so is its name, before that is recorded", async () => {
	const { store, path } = await oneBlob();
	const commit = at({ what: "rename", to: join(store.folder, "catalog.json") });
	for (const synced of [path, dirname(path), dirname(dirname(path))]) {
		const done = at({ what: "sync", path: synced });
		expect([synced, done >= 0 && done < commit]).toEqual([synced, true]);
	}
});

test("on a disk that takes no writes any more a damaged blob stays, is told, and is neither served nor trusted", async () => {
	const { store, digest } = await oneBlob();
	const told: string[] = [];
	const source = new StoreSource(store, (lost, error) => told.push(lost, error.code));
	await source.read(digest, 10); // found right, so it would be sent unread
	await rot(store, [digest]);
	disk.readOnly = true;
	try {
		for (let round = 1; round <= 2; round++) {
			await expect(source.read(digest, 10)).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
			expect(told.length).toBe(4 * round - 2);
			expect(await store.trusted(digest, 10)).toBeUndefined();
			const stream = await source.stream(digest, 10, 0, 9);
			await expect(stream[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
		}
	} finally {
		disk.readOnly = false;
	}
	expect(told).toContain(digest);
});
