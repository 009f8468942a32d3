import { readFile } from "node:fs/promises";

export interface KernelLine {
	/** Id of the root image that was booted; null on a machine that is not an appliance. */
	readonly rootId: string | null;
	/** The boot menu's "check the medium" was chosen. */
	readonly checkMedium: boolean;
}

/** What the boot loader told: `slipway.root=` and `slipway.check=1`. */
export async function readKernelLine(file = "/proc/cmdline"): Promise<KernelLine> {
	const words = (await readFile(file, "utf8")).trim().split(/\s+/);
	const root = words.find((word) => /^slipway\.root=[0-9a-f]{64}$/.test(word));
	return { rootId: root?.slice("slipway.root=".length) ?? null, checkMedium: words.includes("slipway.check=1") };
}
