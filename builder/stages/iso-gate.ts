import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import type { Run } from "../tools/run.ts";
import { type Extent, isoExtents, reportBoot } from "../tools/xorriso.ts";

export interface GatedFile {
	/** Path on the ISO, without a leading slash. */
	readonly path: string;
	readonly size: number;
	/** Hex. */
	readonly sha256: string;
}

/**
 * The structural gate: the boot records that make an ISO start by BIOS and UEFI, from CD and stick, read back from the ISO. Errors:
 * E_ISO_GATE with the record that is missing.
 */
export async function checkStructure(run: Run, iso: string, volumeId: string, bios: boolean): Promise<void> {
	const lines = await reportBoot(run, iso);
	const wanted: [string, RegExp][] = [
		["the volume id", new RegExp(`^Volume Id +: ${volumeId}$`)],
		["a UEFI boot image", /^El Torito boot img : +\d +UEFI +y +none /],
		["a GPT", /^System area summary: .*\bGPT$/],
		["the EFI system partition in the GPT", /^GPT type GUID +: +2 +28732ac11ff8d211ba4b00a0c93ec93b$/],
		...(bios
			? ([
					["a BIOS boot image", /^El Torito boot img : +1 +BIOS +y +none /],
					["boot code for sticks", /^System area summary: MBR protective-msdos-label grub2-mbr /],
					["a bootable MBR entry", /^MBR partition +: +2 +0x80 /],
				] as [string, RegExp][])
			: []),
	];
	const missing = wanted.filter(([, pattern]) => !lines.some((line) => pattern.test(line))).map(([what]) => what);
	if (missing.length === 0) return;
	throw new SlipwayError("E_ISO_GATE", `The ISO lacks ${missing.join(", ")}. xorriso reports:\n${lines.join("\n")}`);
}

/**
 * The content gate: reads the ISO once from start to end and compares each file, found by the ISO's own directory tree, with the
 * digest it must have; nothing may be missing. Gives SHA-256 (hex) and size of the whole ISO from the same pass. Errors: E_ISO_GATE.
 */
export async function checkContent(
	run: Run,
	iso: string,
	files: readonly GatedFile[],
	onProgress: (done: number, total: number) => void,
): Promise<{ sha256: string; size: number }> {
	const extents = await isoExtents(run, iso);
	const absent = files.filter((file) => !extents.has(`/${file.path}`)).map((file) => file.path);
	if (absent.length > 0) throw new SlipwayError("E_ISO_GATE", `The ISO lacks ${absent.join(", ")}.`);
	const { sha256, size, digests } = await hashParts(
		iso,
		files.map((file) => extents.get(`/${file.path}`)!),
		onProgress,
	);
	const bad = files.filter((file, i) => digests[i] !== file.sha256).map((file) => file.path);
	if (bad.length > 0)
		throw new SlipwayError(
			"E_ISO_GATE",
			`On the ISO these files have other bytes than they should: ${bad.join(", ")}.`,
		);
	return { sha256, size };
}

/** Digest of a whole file and of parts of it, in one pass. A part is a list of extents, in the order of its bytes. */
async function hashParts(
	file: string,
	parts: readonly (readonly Extent[])[],
	onProgress: (done: number, total: number) => void,
): Promise<{ sha256: string; size: number; digests: string[] }> {
	const whole = createHash("sha256");
	const hashes = parts.map(() => createHash("sha256"));
	const pieces = parts
		.flatMap((extents, i) => extents.map((extent) => ({ ...extent, hash: hashes[i] as Hash })))
		.sort((a, b) => a.start - b.start);
	const { size } = await stat(file);
	let at = 0;
	let first = 0;
	for await (const chunk of createReadStream(file, { highWaterMark: 1 << 22 }) as AsyncIterable<Buffer>) {
		whole.update(chunk);
		const end = at + chunk.length;
		while (first < pieces.length && pieces[first]!.start + pieces[first]!.size <= at) first++;
		for (let i = first; i < pieces.length && pieces[i]!.start < end; i++) {
			const { start, size: length, hash } = pieces[i]!;
			hash.update(chunk.subarray(Math.max(start - at, 0), Math.min(start + length - at, chunk.length)));
		}
		at = end;
		onProgress(at, size);
	}
	return { sha256: whole.digest("hex"), size: at, digests: hashes.map((hash) => hash.digest("hex")) };
}
