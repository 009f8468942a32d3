import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, fsyncSync, mkdirSync, openSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { State } from "../../agent/status/state.ts";
import type { TestContent } from "../support/content.ts";
import { freePort } from "../support/registry.ts";
import { floorsOf, type Had } from "./check.ts";
import type { LoggedDisk } from "./disk.ts";
import { makeScene } from "./scene.ts";
import { storeContents } from "./store-contents.ts";

const SLIPWAY = resolve(import.meta.dirname, "../../slipway");
const READY_MS = 60_000;
/** Many small blobs, since it is the steps between them that a cut can hit. */
const SIZE = { images: 16, layers: [300, 9_000], large: [700_000, 5_000] };

/** What the agent did between two counts of the log, and what it had said by the end. */
export interface Phase {
	readonly name: string;
	/** The folder, in the run's, of the content that was there. */
	readonly content: string;
	/** Entries in the log when the agent started. */
	readonly from: number;
	/** Entries in the log when its status had said `ready`: what it stands for must outlive any later cut. */
	readonly acknowledged: number;
	readonly had: Had;
	/** What is in the store then. */
	readonly contents: Record<string, string>;
	/** A blob that the test itself spoilt; `from` is after that. */
	readonly damaged?: { readonly digest: string; readonly from: number };
}

export interface Workload {
	readonly publicKey: string;
	readonly phases: readonly Phase[];
}

/**
 * Runs the real agent, one process for each phase, on a store on the logged disk. Content, configuration and everything the
 * test notes lie elsewhere. The agent is killed as soon as it says `ready`, with no chance to tidy up.
 */
export async function runWorkload(disk: LoggedDisk, folder: string, seed: number): Promise<Workload> {
	const { releases, statements, publicKey } = await makeScene(join(folder, "content"), String(seed), SIZE);
	const phases: Phase[] = [];
	const step = async (name: string, content: TestContent, damaged?: Phase["damaged"]) => {
		const from = await disk.count();
		const dir = content.dir.slice(folder.length + 1);
		const config = agentConfig(dir, folder);
		if (name === "upgrade") await runUntil(config, (status) => status.progress.blobsDone > 20); // and then once more
		await runUntil(config, ({ stage, release }) => stage === "ready" && release?.sequence === content.release.sequence);
		const acknowledged = await disk.count();
		const contents = storeContents(config.store);
		const { sequence } = content.release;
		const had = { sequence, floors: floorsOf(config.store), statements: statements[sequence - 1]! };
		phases.push({ name, content: dir, from, acknowledged, had, contents, ...(damaged ? { damaged } : {}) });
	};
	const [first, second, third] = releases as [TestContent, TestContent, TestContent];
	await step("first load", first);
	await step("restart", first);
	await step("upgrade", second);
	await step("upgrade that makes garbage of the first release", third);
	const from = await disk.count();
	const digest = third.bundles[0]!.index.blobs.toSorted((a, b) => b.size - a.size)[0]!.digest;
	spoil(join(disk.mountpoint, "store/store/blobs", digest.slice(0, 6), digest.slice(7, 9), digest.slice(7)));
	await step("repair", third, { digest, from });
	await step("restart after the repair", third);
	return { publicKey, phases };
}

/** The agent's configuration in a run's folder, with the content of a phase. */
export function agentConfig(content: string, folder: string) {
	return {
		content: join(folder, content, "content"),
		trust: join(folder, "content", "trust"),
		store: join(folder, "mnt", "store"),
		run: join(folder, "run"),
		serve: "store",
		scrub: { everyHours: 0 },
		network: { registryPort: 0, statusPort: 0 },
	};
}

type Status = Pick<State["status"], "stage" | "release" | "progress">;

/** Starts an agent and kills it when its status is what is waited for. */
async function runUntil(config: ReturnType<typeof agentConfig>, wanted: (status: Status) => boolean): Promise<void> {
	mkdirSync(config.run, { recursive: true });
	const statusPort = await freePort();
	const file = join(config.run, "agent.json");
	writeFileSync(file, JSON.stringify({ ...config, network: { ...config.network, statusPort } }));
	const agent = spawn(SLIPWAY, ["agent", "--config", file], { stdio: ["ignore", "pipe", "inherit"] });
	let said = "";
	agent.stdout.on("data", (data: Buffer) => {
		said += data;
	});
	try {
		const deadline = performance.now() + READY_MS;
		for (let status = await ask(statusPort); !(status && wanted(status)); status = await ask(statusPort)) {
			if (performance.now() > deadline || agent.exitCode !== null)
				throw new Error(`the agent does not get there:\n${said}`);
			await pause(2);
		}
	} finally {
		await kill(agent);
	}
}

async function ask(port: number): Promise<Status | undefined> {
	const answer = await fetch(`http://127.0.0.1:${port}/v1/status`).catch(() => undefined);
	return (await answer?.json()) as Status | undefined;
}

async function kill(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null) return;
	const ended = new Promise((done) => child.once("exit", done));
	child.kill("SIGKILL");
	await ended;
}

/** Flips a bit in the middle of a file, durably. */
function spoil(path: string): void {
	const fd = openSync(path, "r+");
	const byte = Buffer.alloc(1);
	readSync(fd, byte, 0, 1, 5_000);
	byte[0] = byte[0]! ^ 1;
	writeSync(fd, byte, 0, 1, 5_000);
	fsyncSync(fd);
	closeSync(fd);
}
