import { expect, test } from "vitest";
import { mainOffset } from "./early-cpio.ts";

const MAIN = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 7, 7]);

/** One entry of a newc archive (cpio(5)): 13 fields of eight digits, name and data each padded to four bytes. */
function entry(name: string, size = 0): Buffer {
	const fields = [1, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, name.length + 1, 0];
	const header = `070701${fields.map((n) => n.toString(16).toUpperCase().padStart(8, "0")).join("")}${name}\0`;
	const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
	return Buffer.concat([padded(Buffer.from(header)), padded(Buffer.alloc(size, 9))]);
}

test("the main part of an initrd is found behind archives of microcode, with their padding, and at once without", () => {
	const archive = Buffer.concat([
		entry("early_cpio", 2),
		entry("kernel/x86/microcode/GenuineIntel.bin", 5003),
		entry("TRAILER!!!"),
	]);
	const early = Buffer.concat([archive, Buffer.alloc(512 - (archive.length % 512))]);
	expect(mainOffset(Buffer.concat([early, MAIN]))).toBe(early.length);
	expect(mainOffset(Buffer.concat([early, early, MAIN]))).toBe(2 * early.length);
	expect(mainOffset(MAIN)).toBe(0);
	expect(mainOffset(early)).toBe(early.length);
});
