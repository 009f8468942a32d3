import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { KernelLine } from "../../agent/load/kernel.ts";

const [BLOCKS, HASH, SALT] = [12, "a".repeat(64), "b".repeat(64)];

/** What the boot script notes on a box whose root image is checked as its kernel line asks. */
export const GOOD_START = {
	table: `0 96 verity 1 7:0 7:0 4096 4096 ${BLOCKS} ${BLOCKS + 1} sha256 ${HASH} ${SALT} 1 panic_on_corruption`,
	status: "0 96 verity V",
	base: "/dev/mapper/slipway-root",
	root: "rw,relatime,lowerdir=/run/rootfsbase,upperdir=/run/overlayfs,workdir=/run/ovlwork",
	upper: "tmpfs /run/overlayfs",
	secureboot: "   1",
	stub: "",
};

/** The kernel line that fits it. */
export function applianceKernel(rootId: string, checkMedium = false): KernelLine {
	return { rootId, checkMedium, verity: `${BLOCKS}:${HASH}:${SALT}` };
}

/** Writes the notes into the agent's boot folder. */
export async function noteStart(boot: string, start: Readonly<Record<string, string>> = GOOD_START): Promise<void> {
	await mkdir(boot, { recursive: true });
	const lines = Object.entries(start).map(([name, value]) => `${name} ${value}\n`);
	await writeFile(join(boot, "start"), lines.join(""));
}
