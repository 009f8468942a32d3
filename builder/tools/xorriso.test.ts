import { expect, test } from "vitest";
import type { Run } from "./run.ts";
import { isoArgs, isoExtents } from "./xorriso.ts";

const says =
	(stdout: string): Run =>
	async () => ({ stdout, stderr: "", exitCode: 0 });

test("a file above 4 GiB has several extents, and the last one ends where the file does", async () => {
	const report = [
		"Report layout: xt , Startlba ,   Blocks , Filesize , ISO image path",
		"File data lba:  0 ,      165 ,        1 ,       65 , '/.disk/it's'",
		"File data lba:  0 ,     1000 ,  2097151 , 4299160000 , '/content/big.zst'",
		"File data lba:  1 ,  2098151 ,     2049 , 4299160000 , '/content/big.zst'",
	].join("\n");
	const extents = await isoExtents(says(report), "x.iso");
	expect(extents.get("/.disk/it's")).toEqual([{ start: 165 * 2048, size: 65 }]);
	expect(extents.get("/content/big.zst")).toEqual([
		{ start: 1000 * 2048, size: 2097151 * 2048 },
		{ start: 2098151 * 2048, size: 4299160000 - 2097151 * 2048 },
	]);
});

test("a path cannot become two in xorriso's path=source arguments", () => {
	const args = isoArgs({ out: "o", volumeId: "V", epoch: 0, files: [["/a=b", "/c\\d=e"]], esp: "e", bios: null });
	expect(args.at(-1)).toBe("/a\\=b=/c\\\\d\\=e");
});
