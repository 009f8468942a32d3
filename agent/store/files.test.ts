import { mkdir, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { deviceSize, volume } from "./files.ts";

test("a volume's size is its partition's with the table's share, not what the file system leaves of it", async () => {
	const sys = await tempDir();
	const add = async (name: string, mib: number, partition: boolean) => {
		const folder = join(sys, "dev/block", name);
		await mkdir(folder, { recursive: true });
		await writeFile(join(folder, "size"), `${mib * 2048}\n`);
		if (partition) await writeFile(join(folder, "partition"), "1\n");
	};
	await add("254:17", 10238, true);
	await add("259:65793", 500, false);
	expect(await deviceSize((254 << 8) | 17, sys)).toBe(10240 * 2 ** 20);
	expect(await deviceSize((259 << 8) | (65793 & 0xff) | ((65793 & 0xfff00) << 12), sys)).toBe(500 * 2 ** 20);
	expect(await deviceSize((7 << 8) | 1, sys)).toBeUndefined();
});

test("without a block device the file system's own size counts", async () => {
	const { blocks, bsize } = await statfs("/dev/shm");
	expect((await volume("/dev/shm")).size).toBe(blocks * bsize);
});
