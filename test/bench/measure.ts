import { spawn } from "node:child_process";
import { readFile, rm } from "node:fs/promises";

export interface Measured {
	/** Wall-clock seconds. */
	readonly seconds: number;
	/** Peak resident memory of the process (not its children) in bytes, read while it runs. */
	readonly peakRss: number;
	/** User and system time of the process and all that it waited for. On a busy machine it says more than the clock. */
	readonly cpuSeconds: number;
	readonly stdout: string;
}

/** Runs a program to its end and measures it. Any failure ends the bench: a figure from a failed run is no figure. */
export async function measure(file: string, args: readonly string[], cwd?: string): Promise<Measured> {
	const before = await childCpuSeconds();
	const start = process.hrtime.bigint();
	const child = spawn(file, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
	let stdout = "";
	let stderr = "";
	let peakRss = 0;
	child.stdout.on("data", (chunk) => {
		stdout += chunk;
	});
	child.stderr.on("data", (chunk) => {
		stderr += chunk;
	});
	const watch = setInterval(async () => {
		peakRss = Math.max(peakRss, await peakRssOf(child.pid!));
	}, 20);
	const code = await new Promise<number | null>((resolve, reject) => {
		child.on("error", reject);
		child.on("close", resolve);
	});
	clearInterval(watch);
	const seconds = Number(process.hrtime.bigint() - start) / 1e9;
	if (code !== 0) throw new Error(`${file} ${args.join(" ")} ended with ${code}:\n${stderr || stdout}`);
	return { seconds, peakRss, cpuSeconds: (await childCpuSeconds()) - before, stdout };
}

/** What all children that have ended took so far: proc_pid_stat(5), fields 16 and 17, in hundredths. */
export async function childCpuSeconds(): Promise<number> {
	const text = await readFile("/proc/self/stat", "utf8");
	const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
	return (Number(fields[13]) + Number(fields[14])) / 100;
}

/** The kernel's own high-water mark, so that a short peak between two looks is not missed. */
export async function peakRssOf(pid: number): Promise<number> {
	const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
	return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

/** Seconds for `cp` followed by `sync`, the baseline of DESIGN section 8. Dirty pages of earlier work are flushed first. */
export async function cpAndSync(from: string, to: string): Promise<number> {
	await measure("sync", []);
	await rm(to, { force: true });
	const copy = await measure("cp", [from, to]);
	const flush = await measure("sync", []);
	await rm(to, { force: true });
	return copy.seconds + flush.seconds;
}

/** Seconds for `openssl dgst -sha256`. */
export async function opensslDigest(file: string): Promise<number> {
	return (await measure("openssl", ["dgst", "-sha256", file])).seconds;
}

export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
