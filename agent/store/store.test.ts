import { createHash, randomBytes } from "node:crypto";
import { appendFile, chmod, readdir, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { beforeEach, expect, test, vi } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { checkSpace } from "../load/space.ts";
import { volume } from "./files.ts";
import { Ingest } from "./ingest.ts";
import { lockStore } from "./lock.ts";
import { StoreSource } from "./source.ts";
import { Store } from "./store.ts";

let folder = "";
beforeEach(async () => {
	folder = await tempDir();
});

function blob(size: number, algorithm = "sha256") {
	const data = randomBytes(size);
	return { data, digest: `${algorithm}:${createHash(algorithm).update(data).digest("hex")}`, size };
}

async function take(store: Store, blobs: readonly ReturnType<typeof blob>[]): Promise<void> {
	const ingest = new Ingest(store);
	for (const { data, digest } of blobs) {
		for (let at = 0; at < data.length; at += 70_000) await ingest.write(digest, [data.subarray(at, at + 70_000)]);
		await ingest.done(digest);
	}
	await ingest.settle();
}

async function commit(store: Store, blobs: readonly ReturnType<typeof blob>[]): Promise<void> {
	const seen = await Promise.all(blobs.map(async (b) => [b.digest, (await store.trusted(b.digest, b.size))!] as const));
	await store.commit({ release: "0".repeat(64), bundles: [], blobs: Object.fromEntries(seen) });
}

/** A source uses its memory again, so pieces are copied as they come. */
async function* copies(pieces: AsyncIterable<Buffer>) {
	for await (const piece of pieces) yield Buffer.from(piece);
}

const read = async (source: StoreSource, b: ReturnType<typeof blob>, start = 0, end = b.size - 1) =>
	buffer(copies(await source.stream(b.digest, b.size, start, end)));

test("blobs come back byte for byte, in parts too, and survive a restart as trusted", async () => {
	const blobs = [
		blob(0),
		blob(1),
		blob(700_000),
		blob(300_000, "sha512"),
		...Array.from({ length: 80 }, () => blob(500)),
	];
	const store = await Store.open(folder);
	await take(store, blobs);
	await commit(store, blobs);
	const again = await Store.open(folder);
	const source = new StoreSource(again, () => expect.unreachable());
	for (const b of blobs) {
		expect(await again.trusted(b.digest, b.size)).toBeDefined();
		expect(await read(source, b)).toEqual(b.data);
		expect(await source.read(b.digest, b.size)).toEqual(b.data);
	}
	expect(await read(new StoreSource(again, () => undefined), blobs[2]!, 1000, 5000)).toEqual(
		blobs[2]!.data.subarray(1000, 5001),
	);
	expect(await readdir(join(folder, "ingest"))).toEqual([]);
});

test("a load that was cut short keeps what it made durable, and sweeps what it did not", async () => {
	const [done, half] = [blob(1000), blob(200_000)];
	const store = await Store.open(folder);
	await take(store, [done]);
	const cut = new Ingest(store);
	await cut.write(half.digest, [half.data.subarray(0, 100_000)]);
	await appendFile(join(folder, "journal"), `${half.digest} 200000 12`); // torn by the crash
	const again = await Store.open(folder);
	expect(await again.trusted(done.digest, done.size)).toBeDefined();
	expect(await again.trusted(half.digest, half.size)).toBeUndefined();
	expect(await readdir(join(folder, "ingest"))).toEqual([]);
	await cut.close();
});

test("a file that was written to, replaced or has another size is not trusted any more", async () => {
	const b = blob(5000);
	const store = await Store.open(folder);
	await take(store, [b]);
	await commit(store, [b]);
	expect(await store.trusted(b.digest, 4999)).toBeUndefined();
	const path = store.path(b.digest);
	const { atime, mtime } = await stat(path);
	await chmod(path, 0o600);
	await writeFile(path, randomBytes(5000));
	await utimes(path, atime, mtime); // a forger can set mtime back, not ctime
	expect(await store.trusted(b.digest, b.size)).toBeUndefined();
});

test("bytes that went bad on disk never make a whole answer, and the blob is dropped", async () => {
	for (const [start, end] of [
		[0, 799_999],
		[100, 200],
	] as const) {
		const b = blob(800_000);
		const store = await Store.open(folder);
		await take(store, [b]);
		await commit(store, [b]);
		const bytes = await readFile(store.path(b.digest));
		bytes[5] = bytes[5]! ^ 1;
		await writeFile(store.path(b.digest), bytes);
		const told: string[] = [];
		const source = new StoreSource(store, (digest, error) => told.push(digest, error.code));
		await expect(read(source, b, start, end)).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
		expect(told).toEqual([b.digest, "E_DIGEST_MISMATCH"]);
		expect(await store.trusted(b.digest, b.size)).toBeUndefined();
		await expect(stat(store.path(b.digest))).rejects.toMatchObject({ code: "ENOENT" });
	}
});

test("a blob that cannot be opened just now is an error, and stays", async () => {
	const b = blob(1000);
	const store = await Store.open(folder);
	await take(store, [b]);
	await commit(store, [b]);
	const source = new StoreSource(store, () => expect.unreachable());
	const full = Object.assign(new Error("too many open files"), { code: "EMFILE" });
	const open = vi.spyOn(store, "open").mockRejectedValue(full);
	await expect(source.read(b.digest, b.size)).rejects.toMatchObject({ code: "E_IO" });
	await expect(read(source, b, 1, 2)).rejects.toMatchObject({ code: "E_IO" });
	open.mockRestore();
	expect(await source.read(b.digest, b.size)).toEqual(b.data);
});

test("many who ask for parts of an unchecked blob cost one reading of it", async () => {
	const b = blob(900_000);
	const store = await Store.open(folder);
	await take(store, [b]);
	await commit(store, [b]);
	const open = vi.spyOn(store, "open");
	const source = new StoreSource(store, () => expect.unreachable());
	const parts = await Promise.all(Array.from({ length: 10 }, (_, i) => read(source, b, i, i + 99)));
	for (const [i, part] of parts.entries()) expect(part).toEqual(b.data.subarray(i, i + 100));
	expect(open).toHaveBeenCalledTimes(1 + 10);
});

test("a blob that nothing needs any more may be gone: that is no damage, and nothing of it is kept in memory", async () => {
	const b = blob(1000);
	const store = await Store.open(folder);
	await take(store, [b]);
	const source = new StoreSource(store, () => expect.unreachable());
	expect(await read(source, b)).toEqual(b.data);
	expect([...store.proved.keys()]).toEqual([b.digest]);
	await store.sweep();
	await expect(read(source, b)).rejects.toMatchObject({ code: "E_IO" });
	expect(store.proved.size).toBe(0);
});

test("the sweep removes what the committed set does not need", async () => {
	const [old, kept, wanted] = [blob(100), blob(200), blob(300)];
	const store = await Store.open(folder);
	await take(store, [old, kept, wanted]);
	await store.sweep([old, kept, wanted].map((b) => b.digest));
	await store.keepSigned(`${"1".repeat(64)}.index.json`, Buffer.from("x"));
	await commit(store, [kept]);
	await store.sweep([wanted.digest]);
	expect(await store.trusted(wanted.digest, wanted.size)).toBeDefined();
	await store.sweep();
	expect(await store.trusted(wanted.digest, wanted.size)).toBeUndefined();
	await expect(stat(store.path(old.digest))).rejects.toMatchObject({ code: "ENOENT" });
	expect((await stat(store.path(kept.digest))).size).toBe(200);
	expect(await readdir(join(folder, "signed"))).toEqual([]);
});

test("memory is told from disk, and content that does not fit is refused with what is needed and free", async () => {
	expect((await volume("/dev/shm")).kind).toBe("ephemeral");
	const store = await Store.open(folder);
	const { free } = await volume(folder);
	const index = (size: number) => ({ blobs: [{ digest: `sha256:${"a".repeat(64)}`, size, tarOffset: 0, frame: 0 }] });
	await checkSpace(store, [index(1000), index(1000)]);
	const error = await checkSpace(store, [index(free)]).catch((e: unknown) => e);
	expect(error).toMatchObject({
		code: "E_NO_SPACE",
		message: expect.stringMatching(/needs \d+ MiB .*; \d+ MiB are free/),
	});
});

test("a digest that is none never becomes a path", async () => {
	const store = await Store.open(folder);
	for (const bad of ["sha256:../../etc/passwd", "md5:00", `sha256:${"A".repeat(64)}`]) {
		expect(() => store.path(bad)).toThrow(/is not a digest/);
	}
});

test("one agent per store", async () => {
	const lock = await lockStore(folder);
	await expect(lockStore(`${folder}/../${folder.split("/").at(-1)}`)).rejects.toMatchObject({ code: "E_BUSY" });
	await new Promise((resolve) => lock.close(resolve));
	(await lockStore(folder)).close();
});
