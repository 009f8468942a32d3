import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, get, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleAgent } from "../../builder/stages/agent.ts";
import type { BenchContent } from "./fixture.ts";
import { measure, peakRssOf } from "./measure.ts";

const PORTS = { registryPort: 15010, statusPort: 15011 };
const UNIT = "overlays/appliance/files/usr/lib/systemd/system/slipway-agent.service";
const WAIT_MS = 600_000;

/** The agent as the box runs it: one script, its configuration in JSON, the hardware recorded, its run folder in memory. */
export class BoxAgent {
	readonly store: string;
	readonly #environment: Readonly<Record<string, string>>;
	readonly #script: string;
	readonly #config: string;
	readonly #run: string;
	readonly #http = new Agent({ keepAlive: true });
	#child: ChildProcess | undefined;
	#started = 0;

	private constructor(environment: Readonly<Record<string, string>>, dir: string, run: string) {
		this.#environment = environment;
		this.store = join(dir, "store");
		this.#script = join(dir, "agent.mjs");
		this.#config = join(dir, "appliance.json");
		this.#run = run;
	}

	static async prepare(
		root: string,
		dir: string,
		content: BenchContent,
		serve: "store" | "in-place",
	): Promise<BoxAgent> {
		await mkdir(dir, { recursive: true });
		const unit = await readFile(join(root, UNIT), "utf8");
		const agent = new BoxAgent(environmentOf(unit), dir, await mkdtemp("/dev/shm/slipway-bench-"));
		await bundleAgent(join(root, "agent/cli.ts"), dir);
		await measure(process.execPath, [agent.#script, "--probe", join(agent.#run, "hardware.json")]);
		const paths = { content: content.content, trust: content.publicKey, store: agent.store };
		const run = { run: agent.#run, boot: agent.#run };
		await writeFile(agent.#config, JSON.stringify({ ...paths, ...run, serve, network: PORTS }));
		return agent;
	}

	/** The clock starts at exec. */
	start(): void {
		this.#started = performance.now();
		const env = { ...process.env, ...this.#environment };
		const args = [this.#script, "--config", this.#config];
		this.#child = spawn(process.execPath, args, { stdio: "ignore", cwd: tmpdir(), env });
	}

	/** Seconds since exec. */
	elapsed(): number {
		return (performance.now() - this.#started) / 1000;
	}

	/** Asks again and again until that path of the registry, or of the status, is answered with 200; the answer's bytes. */
	async until(path: string): Promise<number> {
		for (;;) {
			const answer = await this.ask(path).catch(() => undefined);
			if (answer?.status === 200) return answer.bytes;
			if (this.#child?.exitCode !== null) throw new Error(`the agent ended with ${this.#child?.exitCode}`);
			if (this.elapsed() * 1000 > WAIT_MS) throw new Error(`no ${path} in ${WAIT_MS / 1000} s`);
			await new Promise((resolve) => setTimeout(resolve, 5));
		}
	}

	/** One request, read to its end. */
	async ask(path: string): Promise<{ status: number; bytes: number; milliseconds: number; body: Buffer }> {
		const from = performance.now();
		const port = path.startsWith("/v2/") ? PORTS.registryPort : PORTS.statusPort;
		const answer = await new Promise<IncomingMessage>((resolve, reject) => {
			get({ agent: this.#http, host: "127.0.0.1", port, path }, resolve).once("error", reject);
		});
		const parts: Buffer[] = [];
		let bytes = 0;
		for await (const part of answer as AsyncIterable<Buffer>) {
			bytes += part.length;
			if (bytes < 2 ** 20) parts.push(part);
		}
		return { status: answer.statusCode!, bytes, milliseconds: performance.now() - from, body: Buffer.concat(parts) };
	}

	/** Peak resident memory in MiB. */
	async peakMiB(): Promise<number> {
		return (await peakRssOf(this.#child!.pid!)) / 2 ** 20;
	}

	/** Bytes that it has caused to be written to disks. */
	async bytesWritten(): Promise<number> {
		const io = await readFile(`/proc/${this.#child!.pid}/io`, "utf8");
		return Number(/^write_bytes: (\d+)/m.exec(io)?.[1]);
	}

	async stop(): Promise<void> {
		const child = this.#child;
		if (child === undefined || child.exitCode !== null) return;
		child.kill("SIGTERM");
		await new Promise((resolve) => child.once("close", resolve));
	}

	/** Stops it and removes what it has stored. */
	async reset(): Promise<void> {
		await this.stop();
		await rm(this.store, { recursive: true, force: true });
		await measure("sync", []);
	}

	async end(): Promise<void> {
		await this.reset();
		this.#http.destroy();
		await rm(this.#run, { recursive: true, force: true });
	}
}

/** What a unit sets in its `Environment=` lines, words with spaces in quotes. */
function environmentOf(unit: string): Record<string, string> {
	const lines = [...unit.matchAll(/^Environment=(.*)$/gm)].map(([, words]) => words!);
	const words = lines.flatMap((line) => line.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', ""));
	return Object.fromEntries(
		words.map((word) => {
			const at = word.indexOf("=");
			return [word.slice(0, at), word.slice(at + 1)];
		}),
	);
}
