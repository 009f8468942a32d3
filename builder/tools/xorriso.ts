import type { Run, RunOptions } from "./run.ts";

export interface IsoPlan {
	readonly out: string;
	readonly volumeId: string;
	/** Seconds. */
	readonly epoch: number;
	/** Path on the ISO → file or folder. */
	readonly files: readonly (readonly [path: string, source: string])[];
	/** FAT image of the EFI system partition. */
	readonly esp: string;
	/** MBR code for sticks, and the El Torito image's path on the ISO; null: UEFI alone. */
	readonly bios: { readonly mbr: string; readonly eltorito: string } | null;
}

const ESP_TYPE = "28732ac11ff8d211ba4b00a0c93ec93b";
const ISO_TYPE = "a2a0d0ebe5b9334487c068b6b72699c7";

/**
 * xorriso's command line for a hybrid ISO: BIOS and UEFI, CD and stick (GPT with a protective MBR, the ESP appended as second
 * partition). Pure. Files are read where they lie; level 3 allows them to be larger than 4 GiB.
 */
export function isoArgs(o: IsoPlan): string[] {
	const date = isoDate(o.epoch);
	const bios =
		o.bios === null
			? ["-partition_offset", "16"]
			: [
					...["--grub2-mbr", o.bios.mbr, "--protective-msdos-label", "-partition_cyl_align", "off"],
					...["-partition_offset", "16", "--mbr-force-bootable"],
				];
	const eltorito =
		o.bios === null
			? []
			: [
					"-b",
					o.bios.eltorito,
					"-no-emul-boot",
					"-boot-load-size",
					"4",
					"-boot-info-table",
					"--grub2-boot-info",
					"-eltorito-alt-boot",
				];
	return [
		// The engine flushes a stage's output once, at its end; xorriso alone would wait for the disk every 16 MiB.
		...[
			"-stdio_sync",
			"off",
			"-as",
			"mkisofs",
			"-r",
			"-V",
			o.volumeId,
			"-J",
			"-joliet-long",
			"-iso-level",
			"3",
			"-o",
			o.out,
		],
		...[`--modification-date=${date}`, "--set_all_file_dates", date, "--gpt_disk_guid", "modification-date"],
		...bios,
		...["-append_partition", "2", ESP_TYPE, o.esp, "-appended_part_as_gpt", "-iso_mbr_part_type", ISO_TYPE],
		...["-c", "/boot/boot.cat", ...eltorito],
		...["-e", "--interval:appended_partition_2:::", "-no-emul-boot", "-graft-points"],
		...o.files.map(([path, source]) => `${escapeGraft(path)}=${escapeGraft(source)}`),
	];
}

/** In a graft point `=` parts the two halves and `\` escapes. */
function escapeGraft(path: string): string {
	return path.replace(/[\\=]/g, "\\$&");
}

/** YYYYMMDDhhmmsscc in UTC. */
function isoDate(epoch: number): string {
	return `${new Date(epoch * 1000).toISOString().replace(/\D/g, "").slice(0, 14)}00`;
}

/** Writes the ISO. `onProgress` gets per cent. */
export async function writeIso(
	run: Run,
	o: IsoPlan,
	onProgress: (percent: number) => void,
	options: RunOptions = {},
): Promise<void> {
	await run("xorriso", isoArgs(o), {
		...options,
		onLine: (line) => {
			const percent = /([\d.]+)% done/.exec(line)?.[1];
			if (percent !== undefined) onProgress(Number(percent));
		},
	});
}

/** Volume id and boot records of an ISO, as xorriso reads them back: the lines of -pvd_info, -report_el_torito and -report_system_area. */
export async function reportBoot(run: Run, iso: string): Promise<string[]> {
	const { stdout } = await run("xorriso", [
		"-indev",
		`stdio:${iso}`,
		"-pvd_info",
		"-report_el_torito",
		"plain",
		"-report_system_area",
		"plain",
	]);
	return stdout.split("\n").filter((line) => /^[A-Z]/.test(line));
}

export interface Extent {
	/** Bytes from the start of the ISO. */
	readonly start: number;
	readonly size: number;
}

/** Where the bytes of each file of an ISO lie, as its own directory tree says. A file above 4 GiB has several extents. */
export async function isoExtents(run: Run, iso: string): Promise<Map<string, Extent[]>> {
	const { stdout } = await run("xorriso", [
		"-indev",
		`stdio:${iso}`,
		"-find",
		"/",
		"-type",
		"f",
		"-exec",
		"report_lba",
		"--",
	]);
	const files = new Map<string, Extent[]>();
	for (const m of stdout.matchAll(/^File data lba: +\d+ , +(\d+) , +(\d+) , +(\d+) , '(.+)'$/gm)) {
		const [lba, blocks, size] = [Number(m[1]), Number(m[2]), Number(m[3])];
		const before = files.get(m[4]!) ?? [];
		const left = size - before.reduce((sum, extent) => sum + extent.size, 0);
		files.set(m[4]!, [...before, { start: lba * 2048, size: Math.min(left, blocks * 2048) }]);
	}
	return files;
}
