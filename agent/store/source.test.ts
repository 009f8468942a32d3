import { createHash, randomBytes } from "node:crypto";
import { open, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { flip } from "../../test/support/forge.ts";
import { tempDir } from "../../test/support/temp.ts";
import { evidenceOf } from "./evidence.ts";
import { StoreSource } from "./source.ts";
import type { Store } from "./store.ts";

/** A source over one file, whose blob is the file's bytes at first. */
async function oneBlob(size: number) {
	const file = join(await tempDir(), "blob");
	const data = randomBytes(size);
	await writeFile(file, data);
	const digest = `sha256:${createHash("sha256").update(data).digest("hex")}`;
	const told: string[] = [];
	const store = { open: () => open(file), quarantine: async () => true, proved: new Map() } as unknown as Store;
	const source = new StoreSource(store, (_, error) => told.push(error.code));
	return { file, data, digest, source, told };
}

const SIZE = 3_000_000;
const ALL = Number.POSITIVE_INFINITY;

/** Takes pieces until `most` bytes are there, and keeps the rest for later. */
async function take(pieces: AsyncIterable<Buffer>, most = ALL) {
	const iterator = pieces[Symbol.asyncIterator]();
	const parts: Buffer[] = [];
	let size = 0;
	const more = async (to: number) => {
		while (size < to) {
			const next = await iterator.next();
			if (next.done) break;
			parts.push(Buffer.from(next.value));
			size += next.value.length;
		}
		return Buffer.concat(parts);
	};
	await more(most);
	return { more, got: () => size, end: () => iterator.return?.() };
}

test("whoever asks while the blob is hashed for another gets the same bytes, and does not wait for a slow client", async () => {
	const { data, digest, source, told } = await oneBlob(SIZE);
	const slow = await take(await source.stream(digest, SIZE, 0, SIZE - 1), 1);
	const others = await Promise.all(
		Array.from({ length: 20 }, async () => (await take(await source.stream(digest, SIZE, 0, SIZE - 1))).more(0)),
	);
	for (const bytes of others) expect(bytes.equals(data)).toBe(true);
	expect((await slow.more(ALL)).equals(data)).toBe(true);
	expect(told).toEqual([]);
});

test.each([0, 1_500_000, SIZE - 1])("of a blob with a wrong byte at %d nobody ever gets all", async (at) => {
	const { file, data, digest, source, told } = await oneBlob(SIZE);
	data.writeUInt8(data.readUInt8(at) ^ 1, at);
	await writeFile(file, data);
	const slow = await take(await source.stream(digest, SIZE, 0, SIZE - 1), 1);
	const other = async () => (await take(await source.stream(digest, SIZE, 0, SIZE - 1))).more(0);
	const ends = await Promise.allSettled(Array.from({ length: 20 }, other));
	for (const end of ends) expect(end).toMatchObject({ status: "rejected", reason: { code: "E_DIGEST_MISMATCH" } });
	await expect(slow.more(ALL)).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	expect(slow.got()).toBeLessThan(SIZE);
	expect(new Set(told)).toEqual(new Set(["E_DIGEST_MISMATCH"]));
});

test("a client that goes away while it is the one for whom the blob is hashed leaves the others served", async () => {
	const { data, digest, source } = await oneBlob(SIZE);
	const gone = await take(await source.stream(digest, SIZE, 0, SIZE - 1), 1);
	const other = await take(await source.stream(digest, SIZE, 0, SIZE - 1), 1);
	await gone.end();
	expect((await other.more(ALL)).equals(data)).toBe(true);
	expect(source.busy).toBe(false);
});

test("who was sent the first bytes of a damaged file is never given the end of the one that replaced it", async () => {
	const { file, data, digest, source } = await oneBlob(SIZE);
	await writeFile(file, flip(Buffer.from(data), 10));
	const first = await take(await source.stream(digest, SIZE, 0, SIZE - 1), 1);
	const alongside = await take(await source.stream(digest, SIZE, 0, SIZE - 1), 1);
	await expect(first.more(SIZE)).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	await writeFile(`${file}.repaired`, data);
	await rename(`${file}.repaired`, file);
	expect((await source.read(digest, SIZE)).equals(data)).toBe(true);
	await expect(alongside.more(SIZE)).rejects.toMatchObject({ code: "E_IO" });
});

test.each([1, 100, 300_000, SIZE])("of %d bytes with another digest the last ones are never sent", async (size) => {
	const { file, data, digest, source } = await oneBlob(size);
	await writeFile(file, flip(Buffer.from(data), 0));
	let sent = 0;
	const pull = async () => {
		for await (const piece of await source.stream(digest, size, 0, size - 1)) sent += piece.length;
	};
	await expect(pull()).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	expect(sent).toBeLessThan(size);
});

test.each([
	["whole", 0],
	["in part", 10],
])("a byte that is changed after the blob was found right: it is not sent %s", async (_, from) => {
	const { file, data, digest, source, told } = await oneBlob(SIZE);
	await source.read(digest, SIZE);
	await writeFile(file, flip(Buffer.from(data), 1000));
	const answer = source.stream(digest, SIZE, from, SIZE - 1).then((pieces) => take(pieces));
	await expect(answer).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	expect(told).toEqual(["E_DIGEST_MISMATCH"]);
});

test("a file that only looks otherwise than when it was found right is hashed once more, and sent", async () => {
	const { file, data, digest, source } = await oneBlob(SIZE);
	await source.read(digest, SIZE);
	await writeFile(file, data);
	for (const from of [5, 0]) {
		const all = await take(await source.stream(digest, SIZE, from, SIZE - 1));
		expect((await all.more(0)).equals(data.subarray(from))).toBe(true);
	}
	expect(source.store.proved.get(digest)).toEqual(evidenceOf(await stat(file, { bigint: true })));
});
