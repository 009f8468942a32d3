import { rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { freshDefinition } from "./bundle-build.ts";
import type { Figure } from "./main.ts";
import { cpAndSync, measure, median, opensslDigest } from "./measure.ts";

const RUNS = 3;

/** A build in which nothing has changed. The limit is seconds, not a ratio: a person waits for it. */
export async function noChangeRebuild(root: string): Promise<Figure[]> {
	const args = ["build", "vertex-fips-amd64", "--base", "debian-13"];
	await measure(join(root, "slipway"), args, root);
	const times: number[] = [];
	for (let i = 0; i < RUNS; i++) times.push((await measure(join(root, "slipway"), args, root)).seconds);
	return [
		{
			name: "no-change rebuild",
			ours: `${median(times).toFixed(2)} s`,
			beside: "a second",
			value: median(times),
			limit: 1,
			unit: "s",
		},
	];
}

/**
 * A build in which only the content has changed, 1 GiB of it new, against `cp` and `dgst` of the resulting ISO.
 * The profile and its bundle stand outside the repository's own folders, as a site's would.
 */
export async function contentRebuild(root: string): Promise<Figure[]> {
	const definition = await freshDefinition(root, 2 ** 30);
	const folder = dirname(definition);
	const profile = join(folder, "bench-amd64.yaml");
	const text = `${PROFILE}extends: [../../../profiles/palette-amd64.yaml]\nbundles: [./bench.yaml]\n`;
	await writeFile(profile, text);
	const args = ["build", profile, "--base", "debian-13", "--json"];
	await measure(join(root, "slipway"), args, root);
	const ratios: number[] = [];
	const ours: number[] = [];
	const beside: number[] = [];
	let size = 0;
	for (let i = 0; i < RUNS; i++) {
		await freshDefinition(root, 2 ** 30);
		await writeFile(profile, text);
		const run = await measure(join(root, "slipway"), args, root);
		const built = JSON.parse(run.stdout) as {
			iso: string;
			folder: string;
			stages: { name: string; cached: boolean }[];
		};
		const again = built.stages.filter((stage) => !stage.cached).map((stage) => stage.name);
		if (again.join() !== "content,iso,attest") throw new Error(`not a content-only rebuild: ${again.join()}`);
		const base = (await cpAndSync(built.iso, join(folder, "copy.iso"))) + (await opensslDigest(built.iso));
		ours.push(run.seconds);
		beside.push(base);
		ratios.push(run.seconds / base);
		size = (await stat(built.iso)).size;
		await rm(built.folder, { recursive: true });
	}
	return [
		{
			name: `content-only rebuild, ISO of ${(size / 2 ** 30).toFixed(1)} GiB`,
			ours: `${median(ours).toFixed(2)} s`,
			beside: `cp + dgst of the ISO: ${median(beside).toFixed(2)} s`,
			value: median(ratios),
			limit: 2.5,
			unit: "times",
		},
	];
}

const PROFILE = "apiVersion: slipway/v1\nkind: Profile\n";
