import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { startAgent } from "./agent.ts";
import { buildBundle, freshDefinition } from "./bundle-build.ts";
import type { Figure } from "./main.ts";
import { cpAndSync, measure, median, opensslDigest } from "./measure.ts";

const RUNS = 3;

/** Verify and load of a 2 GiB bundle on the host, from exec to `/readyz`, against `dgst` plus `cp` of the bundle. */
export async function verifyAndLoad(root: string): Promise<Figure[]> {
	const definition = await freshDefinition(root, 2 * 2 ** 30);
	const out = join(root, ".cache", "bench", "load");
	await rm(out, { recursive: true, force: true });
	await mkdir(out, { recursive: true });
	const bundle = await buildBundle(root, definition, out);
	const ratios: number[] = [];
	const ours: number[] = [];
	const beside: number[] = [];
	const memory: number[] = [];
	for (let i = 0; i < RUNS; i++) {
		await rm(join(out, "store"), { recursive: true, force: true });
		await measure("sync", []);
		const run = await startAgent(root, bundle.folder, out);
		memory.push((await run.peakRss()) / 2 ** 20);
		await run.stop();
		const base = (await opensslDigest(bundle.file)) + (await cpAndSync(bundle.file, join(out, "copy")));
		ours.push(run.seconds);
		beside.push(base);
		ratios.push(run.seconds / base);
	}
	const size = (await stat(bundle.file)).size / 2 ** 30;
	return [
		{
			name: `verify and load, ${size.toFixed(1)} GiB`,
			ours: `${median(ours).toFixed(2)} s`,
			beside: `dgst + cp: ${median(beside).toFixed(2)} s`,
			value: median(ratios),
			limit: 2.2,
			unit: "times",
		},
		{
			name: "agent's peak memory during that load",
			ours: `${Math.max(...memory).toFixed(0)} MiB`,
			beside: "largest of three",
			value: Math.max(...memory),
			limit: 256,
			unit: "MiB",
		},
	];
}
