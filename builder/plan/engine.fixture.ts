import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { PlainMonitor } from "../monitor/plain.ts";
import type { Build } from "./build.ts";
import type { Plan } from "./plan.ts";
import { type RunPlanOptions, runPlan, type StageResult } from "./run-plan.ts";
import type { Stage, StageName } from "./stage.ts";

/** A small real build for the engine's tests: three stages that write and read files. */
export const FILES = 12;

/** What file `i` of the first stage holds; the tests recompute it. */
export function content(i: number): string {
	return `${i} `.repeat(5000);
}

export function testBuild(root: string, version = "1"): Build {
	// The engine reads no more of a build than this.
	return {
		root,
		cacheDir: path.join(root, ".cache"),
		distDir: path.join(root, "dist"),
		profile: { name: "test" },
		base: { name: "bare" },
		version,
	} as Build;
}

export function stage(name: StageName, inputs: StageName[], run: Stage["run"], more: Partial<Stage> = {}): Stage {
	return {
		name,
		summary: `makes ${name}`,
		options: z.strictObject({ version: z.string() }),
		inputs,
		plan: (build) => ({ version: build.version }),
		sources: (build) => [path.join(build.root, "src")],
		space: () => 1024,
		run,
		...more,
	};
}

/** Each run of a stage leaves a line in `runs`, so that the tests can count. */
export function testStages(pause: number): Stage[] {
	const note = (context: { build: Build }, name: string) =>
		appendFile(path.join(context.build.root, "runs"), `${name}\n`);
	return [
		stage("bootstrap", [], async (context) => {
			await note(context, "bootstrap");
			for (let i = 0; i < FILES; i++) {
				await writeFile(path.join(context.out, `f${i}`), content(i));
				context.progress(i + 1, FILES);
				await sleep(pause);
			}
		}),
		stage("overlay", ["bootstrap"], async (context) => {
			await note(context, "overlay");
			await mkdir(path.join(context.out, "sub"));
			for (let i = 0; i < FILES; i++) {
				const text = await readFile(path.join(context.inputs.bootstrap ?? "", `f${i}`));
				await writeFile(path.join(context.out, "sub", `g${i}`), text);
				await sleep(pause);
			}
		}),
		stage("root", ["overlay"], async (context) => {
			await note(context, "root");
			await context.run("sh", ["-c", `cat ${context.inputs.overlay}/sub/g* > ${context.out}/all`]);
		}),
	];
}

export async function runTest(plan: Plan, more: Partial<RunPlanOptions> = {}): Promise<StageResult[]> {
	const monitor = new PlainMonitor({ write: () => true });
	return runPlan(plan, { signal: new AbortController().signal, monitor, ...more });
}
