import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { BoxAgent } from "./box-agent.ts";
import { documentedWay } from "./documented.ts";
import { type BenchContent, makeBenchContent } from "./fixture.ts";
import type { Figure } from "./main.ts";
import { cpAndSync, measure, median, opensslDigest } from "./measure.ts";
import { firstPull, manifestOf } from "./pull.ts";

const RUNS = 3;
const GIB = 2 ** 30;

/**
 * Everything that is promised of a 2 GiB bundle in 20 images of gzip layers: its load, memory and disk meanwhile, answers
 * meanwhile, the first pull, and the second start.
 */
export async function verifyAndLoad(root: string): Promise<Figure[]> {
	const dir = join(root, ".cache", "bench", "load");
	await rm(dir, { recursive: true, force: true });
	const content = await makeBenchContent(dir, 2 * GIB);
	const agent = await BoxAgent.prepare(root, join(dir, "box"), content, "store");
	try {
		return [
			...(await loads(agent, content, dir)),
			await answersMeanwhile(agent, content),
			await firstPull(agent, content, "2 GiB"),
			...(await secondStart(agent)),
		];
	} finally {
		await agent.end();
		await rm(dir, { recursive: true, force: true });
	}
}

async function loads(agent: BoxAgent, content: BenchContent, dir: string): Promise<Figure[]> {
	const size = content.bundle.index.blobs.reduce((sum, blob) => sum + blob.size, 0);
	const [ours, beside, ratios, memory, disk]: number[][] = [[], [], [], [], []];
	for (let i = 0; i < RUNS; i++) {
		await agent.reset();
		agent.start();
		const peak = peakDiskUse(agent.store);
		await agent.until("/readyz");
		const seconds = agent.elapsed();
		disk!.push((await peak()) / size);
		memory!.push(await agent.peakMiB());
		await agent.reset();
		const base = (await opensslDigest(content.bundle.path)) + (await cpAndSync(content.bundle.path, join(dir, "copy")));
		ours!.push(seconds);
		beside!.push(base);
		ratios!.push(seconds / base);
	}
	const documented = await documentedWay(content, join(dir, "documented"));
	const seconds = `${median(ours!).toFixed(2)} s`;
	return [
		{
			...{ name: "verify and load, 2 GiB in 20 images", ours: seconds, unit: "times" },
			...{ beside: `dgst + cp: ${median(beside!).toFixed(2)} s`, value: median(ratios!), limit: 1.6 },
		},
		{
			...{ name: "the same against the documented way", ours: seconds, unit: "times" },
			beside: `openssl, zstd and tar, skopeo into docker-registry: ${documented.toFixed(2)} s (once)`,
			...{ value: documented / median(ours!), limit: 4.5, atLeast: true },
		},
		{
			...{ name: "peak memory during that load", ours: `${Math.max(...memory!).toFixed(0)} MiB`, unit: "MiB" },
			...{ beside: "largest of three", value: Math.max(...memory!), limit: 160 },
		},
		{
			...{
				name: "disk that the store takes at peak",
				ours: `${Math.max(...disk!).toFixed(3)} × the content`,
				unit: "times",
			},
			...{ beside: "sampled, largest of three", value: Math.max(...disk!), limit: 1.05 },
		},
	];
}

/** Looks at what a folder takes of its disk until the returned function is called; it gives the most that was seen. */
function peakDiskUse(folder: string): () => Promise<number> {
	let most = 0;
	let going = true;
	const look = async () => {
		const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
		const stats = entries.map(({ parentPath, name }) => lstat(join(parentPath, name)).catch(() => undefined));
		const blocks = (await Promise.all(stats)).reduce((sum, stat) => sum + (stat?.blocks ?? 0), 0);
		most = Math.max(most, blocks * 512);
	};
	const looking = (async () => {
		for (; going; await new Promise((resolve) => setTimeout(resolve, 100))) await look();
		await look();
	})();
	return async () => {
		going = false;
		await looking;
		return most;
	};
}

/** A client that asks for one manifest after the other while the load runs. */
async function answersMeanwhile(agent: BoxAgent, content: BenchContent): Promise<Figure> {
	const p99: number[] = [];
	let asked = 0;
	for (let i = 0; i < RUNS; i++) {
		await agent.reset();
		agent.start();
		await agent.until(manifestOf(content, 0));
		const times: number[] = [];
		for (let ready = false, n = 0; !ready; n++) {
			const { status, milliseconds } = await agent.ask(manifestOf(content, n));
			if (status !== 200) throw new Error(`a manifest was answered with ${status} during the load`);
			times.push(milliseconds);
			if (n % 50 === 0) ready = (await agent.ask("/readyz")).status === 200;
			await new Promise((resolve) => setTimeout(resolve, 2));
		}
		asked += times.length;
		p99.push(times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)]!);
	}
	return {
		...{ name: "a manifest under a running load, p99", ours: `${median(p99).toFixed(1)} ms`, unit: "ms" },
		...{ beside: `${asked} requests in three loads`, value: median(p99), limit: 20 },
	};
}

/** The store is whole: what a restart takes, and what it writes. */
async function secondStart(agent: BoxAgent): Promise<Figure[]> {
	const [ours, bare, written]: number[][] = [[], [], []];
	const before = await looks(agent.store);
	for (let i = 0; i < 5; i++) {
		await agent.stop();
		bare!.push((await measure(process.execPath, ["-e", "0"])).seconds);
		agent.start();
		await agent.until("/readyz");
		ours!.push(agent.elapsed());
		written!.push(await agent.bytesWritten());
	}
	const after = await looks(agent.store);
	const touched = [...before].filter(([path, look]) => after.get(path) !== look).length;
	return [
		{
			...{ name: "second start, exec to ready", ours: `${median(ours!).toFixed(3)} s (median of five)`, unit: "s" },
			...{ beside: `bare \`node -e 0\`: ${median(bare!).toFixed(3)} s`, value: median(ours!), limit: 0.3 },
		},
		{
			...{ name: "stored files that it writes anew", ours: `${touched} of ${before.size} files`, unit: "files" },
			...{ beside: `written in all: ${Math.max(...written!)} bytes`, value: touched, limit: 0 },
		},
	];
}

/** Inode and time of writing of every blob and document. */
async function looks(store: string): Promise<Map<string, string>> {
	const folder = join(store, "store");
	const entries = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
	const look = entries.map(async ({ parentPath, name }) => {
		const { ino, mtimeNs } = await lstat(join(parentPath, name), { bigint: true });
		return [join(parentPath, name), `${ino} ${mtimeNs}`] as const;
	});
	return new Map(await Promise.all(look));
}
