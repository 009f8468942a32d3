import { type ChildProcess, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import type { Status } from "../../agent/status/state.ts";
import type { TestContent } from "./content.ts";
import { projectRoot } from "./packs.ts";

const SLIPWAY = join(projectRoot, "slipway");
const READY_MS = 300_000;

/** The agent as a user runs it, `./slipway agent …`, over one content folder; started and ended by hand. */
export class AgentProcess {
	readonly configFile: string;
	/** Ports on loopback. */
	readonly registry: number;
	readonly statusPort: number;
	#child: ChildProcess | undefined;

	private constructor(configFile: string, [registry, status]: readonly [number, number]) {
		this.configFile = configFile;
		this.registry = registry;
		this.statusPort = status;
	}

	/** Writes the configuration, with free ports; `network` goes into its part of that name. */
	static async prepare(content: TestContent, extra: object = {}, network: object = {}): Promise<AgentProcess> {
		const ports = [await freePort(), await freePort()] as const;
		const config = { ...extra, network: { registryPort: ports[0], statusPort: ports[1], ...network } };
		const file = join(content.dir, "agent.json");
		await writeFile(file, JSON.stringify(content.config(config)));
		return new AgentProcess(file, ports);
	}

	start(): void {
		this.#child = spawn(SLIPWAY, ["agent", "--config", this.configFile], { stdio: "ignore" });
	}

	/** Resolves when `/readyz` says so. */
	async ready(): Promise<void> {
		for (let waited = 0; waited < READY_MS; waited += 50) {
			const answer = await fetch(`http://127.0.0.1:${this.statusPort}/readyz`).catch(() => undefined);
			if (answer?.status === 200) return;
			if (this.#child?.exitCode !== null) throw new Error(`The agent ended with ${this.#child?.exitCode}.`);
			await setTimeout(50);
		}
		throw new Error("The agent is not ready.");
	}

	/** Sends a signal, as long as the process is there. */
	signal(signal: NodeJS.Signals): void {
		this.#child?.kill(signal);
	}

	async end(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
		const child = this.#child;
		if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
		const gone = new Promise((resolve) => child.once("close", resolve));
		child.kill(signal);
		await gone;
	}

	/** `slipway agent COMMAND --config …`, whichever way it ends. */
	async ask(...command: string[]): Promise<{ exitCode: number | null; stdout: string; stderr: string }> {
		const child = spawn(SLIPWAY, ["agent", ...command, "--config", this.configFile]);
		const ended = new Promise<number | null>((resolve, reject) => {
			child.once("error", reject);
			child.once("close", resolve);
		});
		const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
		return { exitCode: await ended, stdout, stderr };
	}

	/** The status over the control socket; undefined while nothing answers there. */
	async status(): Promise<Status | undefined> {
		const { stdout } = await this.ask("status", "--json");
		return stdout === "" ? undefined : (JSON.parse(stdout) as Status);
	}
}

async function freePort(): Promise<number> {
	const server = createServer();
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as { port: number };
	await new Promise((resolve) => server.close(resolve));
	return port;
}
