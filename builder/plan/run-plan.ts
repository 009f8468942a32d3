import { mkdir, readdir, rm, symlink } from "node:fs/promises";
import path from "node:path";
import type { Monitor, StageMonitor } from "../monitor/monitor.ts";
import { Turns } from "../monitor/turns.ts";
import { span } from "../trace/span.ts";
import { Crew, type Made, type Outputs } from "./crew.ts";
import { lock } from "./lock.ts";
import type { Plan, PlannedStage } from "./plan.ts";
import { type BuildRecord, readRecord, writeRecord } from "./records.ts";
import { removeTree } from "./remove-tree.ts";
import { checkSpace } from "./space.ts";
import type { StageName } from "./stage.ts";
import { interrupted, runStage } from "./stage-run.ts";

export interface StageResult {
	readonly name: StageName;
	readonly id: string;
	/** Output folder in the cache. Read only. */
	readonly out: string;
	readonly cached: boolean;
	readonly seconds: number;
}

export interface RunPlanOptions {
	readonly signal: AbortSignal;
	readonly monitor: Monitor;
	/** Environment that names the files of secrets. */
	readonly env?: NodeJS.ProcessEnv;
	/** Called with the folder of this build's logs, once there is one. */
	readonly onLogs?: (folder: string) => void;
}

type StageOptions = Pick<RunPlanOptions, "signal" | "env"> & { readonly monitor: StageMonitor };

const KEPT_LOGS = 20;

/**
 * Runs the stages of a plan that are not in the cache, each as soon as it can, and returns where each output is. They are shown, and
 * fail, in the plan's order. Finished stages stay in the cache whatever happens later. Two builds that need the same stage at once: the second waits, then finds it cached.
 * Errors: E_NO_SPACE before any work, E_INTERRUPTED, those of the stages.
 */
export async function runPlan(plan: Plan, options: RunPlanOptions): Promise<StageResult[]> {
	await plan.cache.sweep();
	const missing = plan.stages.filter((planned) => planned.cached === undefined);
	const session = missing.length === 0 ? undefined : await openSession(plan, missing);
	if (session !== undefined) options.onLogs?.(session.logs);
	try {
		return await runStages(plan, session, options);
	} finally {
		await session?.close();
	}
}

interface Session {
	readonly logs: string;
	readonly work: string;
	close(): Promise<void>;
}

async function openSession(plan: Plan, missing: readonly PlannedStage[]): Promise<Session> {
	const { cache, build } = plan;
	await checkSpace(
		cache.dir,
		missing.reduce((sum, { stage }) => sum + stage.space(build), 0),
	);
	const folder = logFolder(cache.dir, plan.record);
	const logs = await openLogs(folder);
	const work = await cache.openWork(path.basename(folder));
	return { logs, work: work.folder, close: work.close };
}

/** Where the logs of a run that begins now go; names sort by time. */
export function logFolder(cacheDir: string, name: string): string {
	const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
	return path.join(cacheDir, "logs", `${time}-${name}-${process.pid}`);
}

/** Makes the folder for this build's logs, with `latest` pointing to it; old ones go. */
async function openLogs(logs: string): Promise<string> {
	const [folder, id] = [path.dirname(logs), path.basename(logs)];
	await mkdir(logs, { recursive: true });
	const old = (await readdir(folder)).filter((name) => name !== "latest").sort();
	for (const name of old.slice(0, -KEPT_LOGS)) await rm(path.join(folder, name), { recursive: true, force: true });
	await rm(path.join(folder, "latest"), { force: true });
	await symlink(id, path.join(folder, "latest")).catch(() => undefined); // two builds at once: either will do
	return logs;
}

async function runStages(plan: Plan, session: Session | undefined, options: RunPlanOptions): Promise<StageResult[]> {
	const { monitor, signal } = options;
	const record: BuildRecord = { ...(await readRecord(plan.cache.dir, plan.record)) };
	const results: StageResult[] = [];
	const screen = new Turns(monitor);
	const crew = new Crew(plan.stages, signal, (index, outputs, stopped) =>
		make(plan, index, session, outputs, { ...options, monitor: screen.of(index), signal: stopped }),
	);
	try {
		for (const [i, planned] of plan.stages.entries()) {
			if (signal.aborted) throw interrupted();
			const { name, id, stage } = planned;
			const started = performance.now();
			screen.begin(i, { name, summary: stage.summary, number: i + 1, total: plan.stages.length });
			try {
				const made = await crew.made(name);
				monitor.end(made.cached ? "cached" : "built", made.seconds);
				results.push({ name, id, ...made });
			} catch (error) {
				monitor.end("failed", (performance.now() - started) / 1000);
				throw error;
			}
			record[name] = { name, id, options: planned.options, inputs: planned.inputs, sources: planned.sources };
			if (session !== undefined) await writeRecord(plan.cache.dir, plan.record, record);
		}
	} finally {
		await crew.dismiss();
	}
	if (session === undefined) await writeRecord(plan.cache.dir, plan.record, record);
	return results;
}

/** Takes a stage's output from the cache, or makes it. */
async function make(
	plan: Plan,
	index: number,
	session: Session | undefined,
	outputs: Outputs,
	options: StageOptions,
): Promise<Made> {
	const planned = plan.stages[index]!;
	const started = performance.now();
	const work = () => build(plan, planned, session as Session, outputs, index, options);
	const about = { track: "stages", name: planned.name, args: { why: planned.reason } } as const;
	const hit = planned.cached ?? (await span(about, work));
	const cached = typeof hit === "string";
	return { out: cached ? hit : hit.out, cached, seconds: (performance.now() - started) / 1000 };
}

/** Makes one stage's output under its lock; a string when another build made it meanwhile. */
async function build(
	plan: Plan,
	planned: PlannedStage,
	session: Session,
	outputs: Outputs,
	index: number,
	{ monitor, signal, env = process.env }: StageOptions,
): Promise<string | { out: string }> {
	const wait = () => monitor.note("waits for another build of this stage");
	const about = { track: "steps", name: `lock ${planned.name}` } as const;
	const held = await span(about, () => lock(`${plan.cache.dir}/stages/${planned.id}`, signal, wait));
	try {
		const hit = await plan.cache.find(planned.id);
		if (hit !== undefined) return hit;
		monitor.progress(0, 0);
		const step = `${String(index + 1).padStart(2, "0")}-${planned.name}`;
		const folder = path.join(session.work, step);
		const logFile = path.join(session.logs, `${step}.log`);
		const started = performance.now();
		await runStage({ plan, planned, outputs, folder, logFile, monitor, signal, env });
		await removeTree(path.join(folder, "work"));
		const { name, options, inputs, sources } = planned;
		const key = { name, options, inputs, sources };
		return { out: await plan.cache.commit(planned.id, key, folder, (performance.now() - started) / 1000) };
	} finally {
		await held.release();
	}
}
