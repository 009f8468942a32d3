import { readFile } from "node:fs/promises";

export interface KernelLine {
	/** Id of the root image that was booted; null on a machine that is not an appliance. */
	readonly rootId: string | null;
	/** The boot menu's "check the medium" was chosen. */
	readonly checkMedium: boolean;
	/** What the root image is to be checked against, `BLOCKS:ROOT-HASH:SALT`; absent when nothing was asked for. */
	readonly verity?: string;
}

/** What the boot loader told: `slipway.root=`, `slipway.verity=` and `slipway.check=1`. */
export async function readKernelLine(file = "/proc/cmdline"): Promise<KernelLine> {
	const words = (await readFile(file, "utf8")).trim().split(/\s+/);
	// Of two the last one counts, as for the initramfs.
	const value = (name: string) => words.findLast((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
	const root = value("slipway.root");
	const verity = value("slipway.verity");
	return {
		rootId: root !== undefined && /^[0-9a-f]{64}$/.test(root) ? root : null,
		checkMedium: words.includes("slipway.check=1"),
		...(verity === undefined ? {} : { verity }),
	};
}
