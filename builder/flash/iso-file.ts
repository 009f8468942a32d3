import type { FileHandle } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import { readExactly } from "../../bundle/read.ts";

const SECTOR = 2048;

interface IsoFile {
	readonly fd: FileHandle;
	/** Bytes. */
	readonly size: number;
}

/** Checks that a file is an ISO 9660 image (ECMA-119, 8.4), and gives the bytes that it says it has. Errors: E_ISO, E_IO. */
export async function readVolumeSize(file: IsoFile, name: string): Promise<number> {
	const refuse = (why: string) => new SlipwayError("E_ISO", `${name} ${why}.`);
	if (file.size < 17 * SECTOR) throw refuse("is too small to be an ISO image");
	const volume = await readExactly(file.fd, 16 * SECTOR, SECTOR);
	if (volume[0] !== 1 || volume.toString("latin1", 1, 6) !== "CD001") throw refuse("is not an ISO image");
	if (volume.readUInt16LE(128) !== SECTOR) throw refuse("has blocks that are not of 2048 bytes");
	return volume.readUInt32LE(80) * SECTOR;
}

/**
 * Checks that an ISO starts from a stick too, and that its end is there: the volume and the GPT say how far they go.
 * Errors: E_ISO, E_TRUNCATED, E_IO.
 */
export async function checkIso(file: IsoFile, name: string): Promise<void> {
	const volume = await readVolumeSize(file, name);
	const start = await readExactly(file.fd, 0, 1024);
	if (start.readUInt16BE(510) !== 0x55aa) {
		throw new SlipwayError("E_ISO", `${name} has no partition table, so it starts from a disc only.`);
	}
	const gpt = start.toString("latin1", 512, 520) === "EFI PART";
	const needed = Math.max(volume, gpt ? (Number(start.readBigUInt64LE(512 + 32)) + 1) * 512 : 0);
	if (file.size < needed || file.size % SECTOR !== 0) {
		throw new SlipwayError("E_TRUNCATED", `${name} has ${file.size} bytes; it says itself that it has ${needed}.`);
	}
}
