import { spawn } from "node:child_process";
import { mkdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildBundle, freshDefinition } from "./bundle-build.ts";
import type { Figure } from "./main.ts";
import { cpAndSync, measure, median, opensslDigest, peakRssOf } from "./measure.ts";

const RUNS = 3;
const STATUS_PORT = 18080;

/** Verify and load of a 2 GiB bundle on the host, from exec to `/readyz`, against `dgst` plus `cp` of the bundle. */
export async function verifyAndLoad(root: string): Promise<Figure[]> {
	const definition = await freshDefinition(root, 2 * 2 ** 30);
	const out = join(root, ".cache", "bench", "load");
	await rm(out, { recursive: true, force: true });
	await mkdir(out, { recursive: true });
	const bundle = await buildBundle(root, definition, out);
	await writeFile(join(out, "agent.yaml"), agentConfig(bundle.folder, out));
	const ratios: number[] = [];
	const ours: number[] = [];
	const beside: number[] = [];
	const memory: number[] = [];
	for (let i = 0; i < RUNS; i++) {
		await rm(join(out, "store"), { recursive: true, force: true });
		await measure("sync", []);
		const run = await timeToReady(root, join(out, "agent.yaml"));
		const base = (await opensslDigest(bundle.file)) + (await cpAndSync(bundle.file, join(out, "copy")));
		ours.push(run.seconds);
		beside.push(base);
		ratios.push(run.seconds / base);
		memory.push(run.peakRss / 2 ** 20);
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

function agentConfig(content: string, out: string): string {
	return [
		`content: ${content}`,
		`trust: ${join(content, "public_key.pem")}`,
		`store: ${join(out, "store")}`,
		`run: ${join(out, "run")}`,
		`network: { registryPort: 15000, statusPort: ${STATUS_PORT} }`,
		"",
	].join("\n");
}

async function timeToReady(root: string, config: string): Promise<{ seconds: number; peakRss: number }> {
	const start = process.hrtime.bigint();
	const agent = spawn(join(root, "slipway"), ["agent", "--config", config], { stdio: "ignore" });
	try {
		for (;;) {
			if (agent.exitCode !== null) throw new Error(`the agent ended with ${agent.exitCode}`);
			const answer = await fetch(`http://127.0.0.1:${STATUS_PORT}/readyz`).catch(() => undefined);
			if (answer?.status === 200) break;
			if (Number(process.hrtime.bigint() - start) > 300e9) throw new Error("the agent was not ready in 300 s");
			await new Promise((resolve) => setTimeout(resolve, 25));
		}
		const seconds = Number(process.hrtime.bigint() - start) / 1e9;
		return { seconds, peakRss: await peakRssOf(agent.pid!) };
	} finally {
		agent.kill("SIGTERM");
		await new Promise((resolve) => agent.once("close", resolve));
	}
}
