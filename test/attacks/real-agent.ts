import { type ChildProcess, spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Status } from "../../agent/status/state.ts";

const ROOT = join(import.meta.dirname, "../..");
/** A cold start on a busy machine, with a verification. */
const PATIENCE_MS = 60_000;

/** An agent as a user starts it: `./slipway agent --config FILE`. */
export class RealAgent {
	readonly #child: ChildProcess;
	readonly #run: string;
	/** Its configuration file. */
	readonly config: string;
	#output = "";

	private constructor(child: ChildProcess, config: string, run: string) {
		this.#child = child;
		this.config = config;
		this.#run = run;
		for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text) => (this.#output += text));
	}

	/** `through`: a program with arguments that starts it. */
	static async start(folder: string, config: object, options: { env?: NodeJS.ProcessEnv; through?: string[] } = {}) {
		const file = join(folder, "agent.json");
		await writeFile(file, JSON.stringify(config));
		const { env = {}, through = [] } = options;
		const [program, ...args] = [...through, join(ROOT, "slipway"), "agent", "--config", file];
		const child = spawn(program!, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
		return new RealAgent(child, file, (config as { run: string }).run);
	}

	/** Everything it printed. */
	get output(): string {
		return this.#output;
	}

	get pid(): number {
		return this.#child.pid!;
	}

	/** Its exit code once it has ended; null while it runs. */
	get exitCode(): number | null {
		return this.#child.exitCode;
	}

	/** Its status once nothing is under way any more, the check of whole files included; undefined when it has ended. */
	async settled(): Promise<Status | undefined> {
		for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await setTimeout(50)) {
			if (this.exitCode !== null) return undefined;
			const status = await this.status();
			if (status === undefined || !/^(ready|degraded|failed)$/.test(status.stage)) continue;
			if (!status.conditions.some((c) => c.code === "W_WHOLE_FILE")) return status;
		}
		throw new Error(`The agent did not settle: ${this.#output}`);
	}

	async status(): Promise<Status | undefined> {
		const text = await readFile(join(this.#run, "status.json"), "utf8").catch(() => undefined);
		return text === undefined ? undefined : (JSON.parse(text) as Status);
	}

	/** The most memory it has had, in bytes. */
	async peak(): Promise<number> {
		const text = await readFile(`/proc/${this.pid}/status`, "utf8");
		return 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(text)![1]);
	}

	async ended(): Promise<number | null> {
		if (this.exitCode === null && this.#child.signalCode === null) {
			await new Promise((resolve) => this.#child.once("close", resolve));
		}
		return this.exitCode;
	}

	/** Ends it the way systemd does. */
	async stop(): Promise<void> {
		this.#child.kill("SIGTERM");
		await this.ended();
	}
}
