import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { cpio } from "../../test/support/cpio.ts";
import { readInitrd } from "./initrd.ts";

test("an initrd is taken apart: microcode in front, with its padding, and the packed archive behind", () => {
	const archive = cpio({
		early_cpio: Buffer.from("1\n"),
		"kernel/x86/microcode/GenuineIntel.bin": Buffer.alloc(5003, 9),
	});
	const early = Buffer.concat([archive, Buffer.alloc(512 - (archive.length % 512))]);
	const main = cpio({ "./usr/sbin/program": Buffer.alloc(9, 9), "/init": Buffer.alloc(0) });
	const look = (...parts: Buffer[]) => {
		const { early, mainAt, packing, main } = readInitrd(Buffer.concat(parts));
		return [early.length, mainAt, packing, main?.map(({ path }) => path)];
	};
	const paths = ["usr/sbin/program", "init"];
	expect(look(early, zstdCompressSync(main))).toEqual([2, early.length, "zstd", paths]);
	expect(look(early, early, gzipSync(main))).toEqual([4, 2 * early.length, "gzip", paths]);
	expect(look(zstdCompressSync(main))).toEqual([0, 0, "zstd", paths]);
	// One that is not packed is like those in front.
	expect(look(main)).toEqual([2, main.length, null, []]);
	expect(look(early, Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 7, 7]))).toEqual([2, early.length, "zstd", undefined]);
	expect(look(early, Buffer.from("?"))).toEqual([2, early.length, null, undefined]);
});
