import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { peakRssOf } from "./measure.ts";

const STATUS_PORT = 18080;
const REGISTRY_PORT = 15000;
/** Where the registry of an agent of these benches answers. */
export const REGISTRY = `http://127.0.0.1:${REGISTRY_PORT}/v2`;

export interface BenchAgent {
	/** From exec to `/readyz`. */
	readonly seconds: number;
	peakRss(): Promise<number>;
	stop(): Promise<void>;
}

/** Starts `./slipway agent` over a content folder, with its store in `out`, and waits until it is ready. */
export async function startAgent(root: string, content: string, out: string): Promise<BenchAgent> {
	const config = join(out, "agent.yaml");
	await writeFile(config, agentConfig(content, out));
	const start = process.hrtime.bigint();
	const agent = spawn(join(root, "slipway"), ["agent", "--config", config], { stdio: "ignore" });
	const stop = async () => {
		if (agent.exitCode !== null) return;
		agent.kill("SIGTERM");
		await new Promise((resolve) => agent.once("close", resolve));
	};
	try {
		for (;;) {
			if (agent.exitCode !== null) throw new Error(`the agent ended with ${agent.exitCode}`);
			const answer = await fetch(`http://127.0.0.1:${STATUS_PORT}/readyz`).catch(() => undefined);
			if (answer?.status === 200) break;
			if (Number(process.hrtime.bigint() - start) > 300e9) throw new Error("the agent was not ready in 300 s");
			await new Promise((resolve) => setTimeout(resolve, 25));
		}
		const seconds = Number(process.hrtime.bigint() - start) / 1e9;
		return { seconds, peakRss: () => peakRssOf(agent.pid!), stop };
	} catch (error) {
		await stop();
		throw error;
	}
}

function agentConfig(content: string, out: string): string {
	return [
		`content: ${content}`,
		`trust: ${join(content, "public_key.pem")}`,
		`store: ${join(out, "store")}`,
		`run: ${join(out, "run")}`,
		`network: { registryPort: ${REGISTRY_PORT}, statusPort: ${STATUS_PORT} }`,
		"",
	].join("\n");
}
