const MAGIC = "070701";
const HEADER = 110;
const END = "TRAILER!!!";

/**
 * Where the main part of an initrd begins: behind the uncompressed cpio archives (newc) in front of it, in which dracut puts
 * processor microcode, as the kernel wants it. 0 where there is none.
 */
export function mainOffset(initrd: Buffer): number {
	let at = 0;
	while (initrd.toString("latin1", at, at + MAGIC.length) === MAGIC) {
		const field = (n: number) => Number.parseInt(initrd.toString("latin1", at + 6 + n * 8, at + 14 + n * 8), 16);
		const [fileSize, nameSize] = [field(6), field(11)];
		const name = initrd.toString("latin1", at + HEADER, at + HEADER + nameSize - 1);
		at = align(align(at + HEADER + nameSize) + fileSize);
		// Archives are padded with zeros up to the next one.
		if (name === END) while (at < initrd.length && initrd[at] === 0) at++;
	}
	return at;
}

function align(offset: number): number {
	return Math.ceil(offset / 4) * 4;
}
