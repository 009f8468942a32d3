import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Figure } from "./main.ts";
import { cpAndSync, measure, median, opensslDigest } from "./measure.ts";
import { makeRandomLayout } from "./random-layout.ts";

const GIB = 2 ** 30;
const RUNS = 3;

const DEFINITION = `apiVersion: slipway/v1
kind: Bundle
name: bench
version: 1.0.0
sequence: 1
product: bench
packs:
  - { name: random, version: 1.0.0, source: oci-layout, layer: app, licence: none, path: layout }
`;

/**
 * Makes a bundle definition over `bytes` of new random layers, in 20 images of 5 if nothing else is said; the path of its YAML. New ones each time, so that
 * nothing of an earlier run is found again: what is timed is the import too.
 */
export async function freshDefinition(root: string, bytes: number, images = 20, layersEach = 5): Promise<string> {
	const dir = join(root, ".cache", "bench", `layout-${bytes}`);
	const file = join(dir, "bench.yaml");
	await rm(dir, { recursive: true, force: true });
	await makeRandomLayout(join(dir, "layout"), bytes, images, layersEach);
	await writeFile(file, DEFINITION);
	await measure("sync", []);
	return file;
}

/** `bundle build` of 1 GiB of already compressed layers against `dgst` plus `cp` of the same bytes. */
export async function bundleBuild(root: string): Promise<Figure[]> {
	const ratios: number[] = [];
	const ours: number[] = [];
	const beside: number[] = [];
	for (let i = 0; i < RUNS; i++) {
		const out = join(root, ".cache", "bench", "out");
		await rm(out, { recursive: true, force: true });
		await mkdir(out, { recursive: true });
		const definition = await freshDefinition(root, GIB);
		const built = await buildBundle(root, definition, out);
		const base = (await opensslDigest(built.file)) + (await cpAndSync(built.file, `${built.file}.copy`));
		ours.push(built.seconds);
		beside.push(base);
		ratios.push(built.seconds / base);
	}
	return [
		{
			name: "`bundle build`, 1 GiB of new compressed layers",
			ours: `${median(ours).toFixed(2)} s`,
			beside: `dgst + cp: ${median(beside).toFixed(2)} s`,
			value: median(ratios),
			limit: 2,
			unit: "times",
		},
	];
}

/** Runs the product command; the bundle's path and the seconds it took. */
export async function buildBundle(
	root: string,
	definition: string,
	out: string,
): Promise<{ file: string; folder: string; seconds: number }> {
	const args = ["bundle", "build", definition, "--arch", "amd64", "--base", "debian-13", "--out", out, "--json"];
	const run = await measure(join(root, "slipway"), args, root);
	const result = JSON.parse(run.stdout) as { file: string; folder: string };
	return { ...result, seconds: run.seconds };
}
