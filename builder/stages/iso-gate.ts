import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { SlipwayError } from "../../bundle/errors.ts";
import { chunksOf } from "../tools/chunks.ts";
import type { Run } from "../tools/run.ts";
import { type Extent, isoExtents, reportBoot } from "../tools/xorriso.ts";
import { span } from "../trace/span.ts";

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
 * The content gate: reads the ISO and compares each file, found by the ISO's own directory tree, with the
 * digest it must have; nothing may be missing. Gives SHA-256 (hex) and size of the whole ISO, which a second thread makes
 * meanwhile. Errors: E_ISO_GATE.
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
	const parts = files.map((file) => extents.get(`/${file.path}`)!);
	const step = <T>(name: string, work: () => Promise<T>) => span({ track: "steps", name }, work);
	const [sha256, digests] = await Promise.all([
		step("hash the ISO", () => hashInThread(iso)),
		step("hash each file of the ISO", () => hashParts(iso, parts, onProgress)),
	]);
	const bad = files.filter((file, i) => digests[i] !== file.sha256).map((file) => file.path);
	if (bad.length > 0)
		throw new SlipwayError(
			"E_ISO_GATE",
			`On the ISO these files have other bytes than they should: ${bad.join(", ")}.`,
		);
	return { sha256, size: (await stat(iso)).size };
}

function hashInThread(file: string): Promise<string> {
	return new Promise((resolve, reject) => {
		const worker = new Worker(new URL("./hash-worker.ts", import.meta.url), { workerData: file });
		worker.once("message", resolve);
		worker.once("error", reject);
		// Too late to matter when there was a message.
		worker.once("exit", (code) => reject(new SlipwayError("E_IO", `Hashing ${file} ended with ${code}.`)));
	});
}

/** Digest of each part of a file. A part is a list of extents, in the order of its bytes. */
async function hashParts(
	file: string,
	parts: readonly (readonly Extent[])[],
	onProgress: (done: number, total: number) => void,
): Promise<string[]> {
	const total = parts.flat().reduce((sum, extent) => sum + extent.size, 0);
	const digests: string[] = [];
	let done = 0;
	for (const extents of parts) {
		const hash = createHash("sha256");
		for (const { start, size } of extents) {
			for await (const chunk of chunksOf(file, start, size)) hash.update(chunk);
			done += size;
			onProgress(done, total);
		}
		digests.push(hash.digest("hex"));
	}
	return digests;
}
