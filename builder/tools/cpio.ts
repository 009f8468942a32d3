/** A file of a cpio archive: path without a leading slash, and the bytes that it takes in the archive, its header included. */
export interface CpioEntry {
	readonly path: string;
	readonly bytes: number;
}

const HEADER = 110;
const MAGIC = /^07070[12]$/;

/**
 * Reads the list of a cpio archive in the "new" form (Linux, Documentation/driver-api/early-userspace/buffer-format.rst) that begins at
 * `start`. Gives where it ends, the zeros behind it included; undefined if there is none, or it is damaged.
 */
export function readCpio(data: Buffer, start: number): { entries: CpioEntry[]; end: number } | undefined {
	const entries: CpioEntry[] = [];
	for (let at = start; ; ) {
		const field = (n: number) => Number.parseInt(data.toString("latin1", at + 6 + n * 8, at + 14 + n * 8), 16);
		const [size, nameSize] = [field(6), field(11)];
		if (!MAGIC.test(data.toString("latin1", at, at + 6)) || !(size >= 0) || !(nameSize > 0)) return undefined;
		const name = data.toString("utf8", at + HEADER, at + HEADER + nameSize - 1);
		const next = padded(padded(at + HEADER + nameSize) + size);
		if (next > data.length) return undefined;
		if (name === "TRAILER!!!") return { entries, end: skipZeros(data, next) };
		entries.push({ path: name.replace(/^\.?\//, ""), bytes: next - at });
		at = next;
	}
}

function padded(position: number): number {
	return Math.ceil(position / 4) * 4;
}

function skipZeros(data: Buffer, from: number): number {
	let at = from;
	while (at < data.length && data[at] === 0) at++;
	return at;
}
