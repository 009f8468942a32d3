import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { readInitrd } from "./initrd.ts";

/** One entry of a newc archive (cpio(5)): 13 fields of eight digits, name and data each padded to four bytes. */
function entry(name: string, size = 0): Buffer {
	const fields = [1, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, name.length + 1, 0];
	const header = `070701${fields.map((n) => n.toString(16).toUpperCase().padStart(8, "0")).join("")}${name}\0`;
	const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
	return Buffer.concat([padded(Buffer.from(header)), padded(Buffer.alloc(size, 9))]);
}

const END = entry("TRAILER!!!");

test("an initrd is taken apart: microcode in front, with its padding, and the packed archive behind", () => {
	const archive = Buffer.concat([entry("early_cpio", 2), entry("kernel/x86/microcode/GenuineIntel.bin", 5003), END]);
	const early = Buffer.concat([archive, Buffer.alloc(512 - (archive.length % 512))]);
	const main = Buffer.concat([entry("./usr/sbin/program", 9), entry("/init"), END]);
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
