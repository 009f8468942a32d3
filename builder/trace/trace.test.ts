import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { runTest, testBuild, testStages } from "../plan/engine.fixture.ts";
import { planBuild } from "../plan/plan.ts";
import { run } from "../tools/run.ts";
import { recordSpans, type TraceEvent } from "./record.ts";
import { span } from "./span.ts";
import { traced } from "./trace.ts";

type Done = Extract<TraceEvent, { ph: "X" }>;
const done = (events: readonly TraceEvent[]) => events.filter((event): event is Done => event.ph === "X");

test("programs and stages become events with their times; what runs at once gets a track of its own", async () => {
	const recording = recordSpans();
	await span({ track: "stages", name: "root" }, () =>
		Promise.all([run("sleep", ["0.2"]), run("/bin/sleep", ["0.1"]), run("sh", ["-c", "exit 3"], { accept: [3] })]),
	);
	await run("true", []);
	const events = recording.stop();
	await run("true", []); // nobody listens any more
	expect(
		done(events)
			.map(({ name, cat }) => `${cat} ${name}`)
			.sort(),
	).toEqual(["programs sh", "programs sleep", "programs sleep", "programs true", "stages root"]);
	const [stage] = done(events).filter(({ cat }) => cat === "stages");
	const programs = done(events).filter(({ cat }) => cat === "programs");
	for (const { ts, dur, name } of programs.filter((one) => one.name !== "true")) {
		expect([name, ts >= stage!.ts && ts + dur <= stage!.ts + stage!.dur]).toEqual([name, true]);
	}
	expect(programs.find(({ args }) => args.command === "sleep 0.2")!.dur).toBeGreaterThan(190_000);
	expect(programs.find(({ name }) => name === "sh")!.args.exitCode).toBe(3);
	for (const a of programs) {
		const sharing = programs.filter((b) => b !== a && b.tid === a.tid);
		expect(sharing.some((b) => a.ts < b.ts + b.dur && b.ts < a.ts + a.dur)).toBe(false);
	}
	const names = events.flatMap((event) => (event.name === "thread_name" ? [event.args.name] : []));
	expect(names).toEqual(["stages", "programs", "programs (2)", "programs (3)"]);
	const tids = new Set(events.flatMap((event) => (event.name === "thread_name" ? [event.tid] : [])));
	expect(done(events).every(({ tid }) => tids.has(tid))).toBe(true);
});

test("secrets are masked before long command lines are cut, and a failure is told by its code", async () => {
	const secret = "C1234'567890 abcdef";
	const recording = recordSpans();
	// The secret lies across the place where the line is cut.
	const args = ["-c", "exit 1", "x".repeat(380), secret, "y".repeat(5000)];
	await expect(run("sh", args, { secrets: [secret] })).rejects.toMatchObject({ code: "E_TOOL_FAILED" });
	const [event] = done(recording.stop());
	expect(event!.args.error).toBe("E_TOOL_FAILED");
	expect(JSON.stringify(event)).not.toContain(secret.slice(0, 4));
	expect(JSON.stringify(event).length).toBeLessThan(700);
});

test("a trace is written however the work ends, with what was still running, and where the work says", async () => {
	const dir = await tempDir();
	const work = traced(path.join(dir, "first"), async (tracing) => {
		tracing.folder = path.join(dir, "second");
		void span({ track: "steps", name: "never ends" }, () => new Promise(() => undefined));
		await run("false", []);
	});
	await expect(work).rejects.toMatchObject({ code: "E_TOOL_FAILED" });
	const trace = JSON.parse(await readFile(path.join(dir, "second/trace.json"), "utf8"));
	expect(done(trace.traceEvents).map(({ name }) => name)).toEqual(["never ends", "false"]);
	await expect(readFile(path.join(dir, "first/trace.json"))).rejects.toMatchObject({ code: "ENOENT" });
});

test("a trace that cannot be written does not hide why the work failed, and is an error of its own where it did not", async () => {
	const folder = path.join(await tempDir(), "file");
	await writeFile(folder, "");
	await expect(traced(folder, () => run("false", []))).rejects.toMatchObject({ code: "E_TOOL_FAILED" });
	await expect(traced(folder, () => run("true", []))).rejects.toMatchObject({ code: "EEXIST" });
});

test("of a build, the stages that ran are shown with their reason and their programs; the logs' folder is told", async () => {
	const root = await tempDir();
	const build = async () => {
		const folders: string[] = [];
		const recording = recordSpans();
		const plan = await planBuild(testBuild(root), testStages(0));
		await runTest(plan, { onLogs: (folder) => folders.push(folder) });
		return {
			folders,
			events: done(recording.stop()).map(({ cat, name, args }) => [cat, name, args.why ?? args.exitCode]),
		};
	};
	const first = await build();
	const why = expect.stringMatching(/./);
	expect(first.events).toEqual([
		["stages", "bootstrap", why],
		["stages", "overlay", why],
		["stages", "root", why],
		["steps", "lock bootstrap", undefined],
		["steps", "lock overlay", undefined],
		["steps", "lock root", undefined],
		["programs", "sh", 0],
	]);
	expect(first.folders).toHaveLength(1);
	expect(await readdir(first.folders[0]!)).toContain("01-bootstrap.log");
	// Nothing to do: no stage, no folder for logs.
	expect(await build()).toEqual({ folders: [], events: [] });
});
