import type { Run } from "./run.ts";

/** What is on a block device, by its own bytes (`TYPE`, `LABEL`, …); empty where nothing is known, or may not be read. */
export async function blkid(run: Run, device: string): Promise<Readonly<Record<string, string>>> {
	const { stdout } = await run("blkid", ["--probe", "--output", "export", device], { accept: [0, 2, 4, 8] });
	return Object.fromEntries([...stdout.matchAll(/^([A-Z_]+)=(.*)$/gm)].map((m) => [m[1]!, m[2]!]));
}
