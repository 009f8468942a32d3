import { appendFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import type { StageMonitor } from "../monitor/monitor.ts";
import type { RunOptions } from "../tools/run.ts";
import type { Plan, PlannedStage } from "./plan.ts";
import { readSecret } from "./secrets.ts";
import type { StageContext, StageName } from "./stage.ts";

export interface StageRun {
	readonly plan: Plan;
	readonly planned: PlannedStage;
	/** Output folders of the stages before. */
	readonly outputs: Readonly<Partial<Record<StageName, string>>>;
	/** Empty folder of this run; its `out/` is the output. */
	readonly folder: string;
	readonly logFile: string;
	readonly monitor: StageMonitor;
	readonly signal: AbortSignal;
	readonly env: NodeJS.ProcessEnv;
}

/**
 * Runs one stage and undoes what it asked to be undone, in reverse order, whatever happens. Every failure is a SlipwayError that
 * names the log. Errors: those of the stage, E_STAGE for anything else it throws, E_NO_SPACE, E_INTERRUPTED.
 */
export async function runStage(run: StageRun): Promise<void> {
	const { stage } = run.planned;
	const undo: (() => Promise<void>)[] = [];
	const masks: string[] = [];
	const context = await makeContext(run, undo, masks);
	let failure: unknown;
	try {
		await stage.run(context);
		// A stage may have taken the abort for the end of its work.
		if (run.signal.aborted) throw interrupted();
	} catch (error) {
		failure = error;
	}
	for (const step of undo.reverse()) {
		try {
			await step();
		} catch (error) {
			context.log(`Clean-up failed: ${String(error)}`);
			failure ??= error;
		}
	}
	if (failure !== undefined) throw explain(failure, run, masks);
}

export function interrupted(): SlipwayError {
	return new SlipwayError("E_INTERRUPTED", "Interrupted.");
}

async function makeContext(
	run: StageRun,
	undo: (() => Promise<void>)[],
	masks: string[],
): Promise<StageContext<unknown>> {
	const { plan, planned, logFile, signal } = run;
	const [out, work] = [path.join(run.folder, "out"), path.join(run.folder, "work")];
	await mkdir(out, { recursive: true });
	await mkdir(work);
	const log = (line: string) => appendFileSync(logFile, `${hide(line, masks)}\n`);
	log(`# ${planned.name} ${planned.id}: ${planned.reason}`);
	const { run: tool } = await import("../tools/run.ts");
	return {
		build: plan.build,
		options: planned.options,
		ids: Object.fromEntries(upTo(plan, planned.name).map((p) => [p.name, p.id])),
		inputs: Object.fromEntries(planned.stage.inputs.map((name) => [name, run.outputs[name] as string])),
		out,
		work,
		logFile,
		signal,
		run: (file: string, args: readonly string[], options: RunOptions = {}) =>
			tool(file, args, { log: logFile, signal, ...options, secrets: [...masks, ...(options.secrets ?? [])] }),
		log,
		progress: (done, total) => run.monitor.progress(done, total),
		cleanup: (step) => undo.push(step),
		secret: (name) => {
			if (planned.stage.secrets?.includes(name)) return readSecret(name, run.env, (text) => masks.push(text));
			throw new SlipwayError(
				"E_INTERNAL",
				`Stage ${planned.name} asks for the secret ${name}, which it does not declare.`,
			);
		},
	};
}

function upTo(plan: Plan, name: StageName): readonly PlannedStage[] {
	return plan.stages.slice(0, plan.stages.findIndex((p) => p.name === name) + 1);
}

function hide(text: string, masks: readonly string[]): string {
	return masks.reduce((shown, secret) => (secret === "" ? shown : shown.replaceAll(secret, "***")), text);
}

/** Adds where to read on, and turns what is not ours into E_STAGE. */
function explain(error: unknown, run: StageRun, masks: readonly string[]): unknown {
	const where = `The log is ${run.logFile}`;
	if (error instanceof SlipwayErrors) return error;
	if (error instanceof SlipwayError) {
		if (error.code === "E_INTERRUPTED" || run.signal.aborted) return interrupted();
		const { at, code } = error;
		return new SlipwayError(code, hide(error.message, masks), {
			next: `${error.next} ${where}`,
			cause: error,
			...(at && { at }),
		});
	}
	if (run.signal.aborted) return interrupted();
	const { code, message } = error as NodeJS.ErrnoException;
	const text = hide(message ?? String(error), masks);
	appendFileSync(run.logFile, `${hide((error as Error).stack ?? text, masks)}\n`);
	if (code === "ENOSPC" || code === "EDQUOT") {
		return new SlipwayError("E_NO_SPACE", `The disk became full in stage ${run.planned.name}: ${text}`, {
			cause: error,
		});
	}
	return new SlipwayError("E_STAGE", `Stage ${run.planned.name}: ${text}`, {
		next: `Read the log: ${run.logFile}`,
		cause: error,
	});
}
