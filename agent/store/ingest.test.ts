import { readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sha256Hex } from "../../bundle/digest.ts";
import { tempDir } from "../../test/support/temp.ts";
import { BlobHasher } from "./blob-hasher.ts";
import { Ingest } from "./ingest.ts";
import { Store } from "./store.ts";

test("a file that somebody put in a blob's way is not written to", async () => {
	const [folder, outside] = [await tempDir(), join(await tempDir(), "outside")];
	await writeFile(outside, "not ours");
	const store = await Store.open(folder);
	for (let i = 0; i < 20; i++) await symlink(outside, join(folder, "ingest", String(i)));
	const ingest = new Ingest(store);
	const data = Buffer.from("a blob");
	await expect(ingest.write(`sha256:${sha256Hex(data)}`, [data])).rejects.toMatchObject({ code: "EEXIST" });
	await ingest.close();
	expect(await readFile(outside, "utf8")).toBe("not ours");
});

test("a hashing thread that died fails who waits, and at once whoever comes later", async () => {
	const hasher = new BlobHasher();
	const later = hasher.follow(0, "sha256");
	await expect(hasher.follow(0, "no-such-hash").end()).rejects.toMatchObject({ code: "E_IO" });
	await expect(later.end()).rejects.toMatchObject({ code: "E_IO" });
	expect(() => later.advance(1)).toThrow(/cannot be hashed/);
	await hasher.stop();
});

test("bytes that cannot be read back are the disk's fault", async () => {
	const hasher = new BlobHasher();
	const { advance, end } = hasher.follow(99_999, "sha256"); // no such descriptor
	advance(10);
	await expect(end()).rejects.toMatchObject({ code: "E_IO" });
	await hasher.stop();
});
