import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { content, FILES, runTest, stage, testBuild, testStages } from "./engine.fixture.ts";
import { planBuild } from "./plan.ts";

let root: string;
beforeEach(async () => {
	root = await mkdtemp(path.join(tmpdir(), "slipway-plan-"));
	await mkdir(path.join(root, "src"));
	await writeFile(path.join(root, "src", "a.txt"), "one");
});
afterEach(() => rm(root, { recursive: true, force: true }));

const idsOf = async (where = root, version = "1") =>
	(await planBuild(testBuild(where, version), testStages(0))).stages.map((s) => s.id);
const reasons = async (version = "1") =>
	(await planBuild(testBuild(root, version), testStages(0))).stages.map((s) => s.reason);
const runs = async () => (await readFile(path.join(root, "runs"), "utf8").catch(() => "")).split("\n").filter(Boolean);
const leftovers = () => readdir(path.join(root, ".cache", "tmp")).catch(() => []);

/** The small build as a process of its own; it kills itself at its `killAt`-th call to the file system. */
async function buildInProcess(killAt?: number): Promise<{ killed: boolean; calls: string[] }> {
	const args = [path.join(import.meta.dirname, "engine-process.fixture.ts"), root, ...(killAt ? [String(killAt)] : [])];
	const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
	const [output, [code, signal]] = await Promise.all([text(child.stdout), once(child, "exit")]);
	if (code !== 0 && signal !== "SIGKILL") throw new Error(`The build ended with ${code ?? signal}.`);
	return { killed: signal === "SIGKILL", calls: output.split("\n") };
}

/** Every entry of the cache holds exactly what its stage makes. */
async function checkWhole(): Promise<number> {
	const stages = path.join(root, ".cache", "stages");
	const ids = await idsOf();
	const entries = await readdir(stages).catch(() => []);
	for (const id of entries) {
		const out = path.join(stages, id, "out");
		if (id === ids[2]) continue;
		const [folder, letter] = id === ids[0] ? [out, "f"] : [path.join(out, "sub"), "g"];
		expect((await readdir(folder)).length).toBe(FILES);
		for (let i = 0; i < FILES; i++) expect(await readFile(path.join(folder, letter + i), "utf8")).toBe(content(i));
	}
	return entries.length;
}

test("an id follows options, inputs and the bytes of sources, and not place, time or owner", async () => {
	const first = await idsOf();
	await utimes(path.join(root, "src", "a.txt"), 1, 1);
	expect(await idsOf()).toEqual(first);
	const clone = await mkdtemp(path.join(tmpdir(), "slipway-clone-"));
	await mkdir(path.join(clone, "src"));
	await copyFile(path.join(root, "src", "a.txt"), path.join(clone, "src", "a.txt"));
	expect(await idsOf(clone)).toEqual(first);
	await rm(clone, { recursive: true });

	const seen = new Set(first);
	const allNew = async (version?: string) => {
		for (const id of await idsOf(root, version)) {
			expect(seen).not.toContain(id);
			seen.add(id);
		}
	};
	await allNew("2");
	await chmod(path.join(root, "src", "a.txt"), 0o755);
	await allNew();
	await writeFile(path.join(root, "src", "a.txt"), "two");
	await allNew();
});

test("a large source is hashed again when it changes, whatever its times say", async () => {
	const file = path.join(root, "src", "big");
	await writeFile(file, Buffer.alloc(600_000, "a"));
	await utimes(file, 1, 1);
	const first = await idsOf();
	expect(await idsOf()).toEqual(first); // from memory
	await writeFile(file, Buffer.alloc(600_000, "b"));
	await utimes(file, 1, 1);
	expect(await idsOf()).not.toEqual(first);
});

test("a second build finds everything cached; a change runs what depends on it and says why", async () => {
	expect(await reasons()).toEqual(["first build", "first build", "first build"]);
	await runTest(await planBuild(testBuild(root), testStages(0)));
	expect(await reasons()).toEqual(["cached", "cached", "cached"]);
	const again = await runTest(await planBuild(testBuild(root), testStages(0)));
	expect(again.map((r) => r.cached)).toEqual([true, true, true]);
	expect(await runs()).toEqual(["bootstrap", "overlay", "root"]);
	expect(await readFile(path.join(again[2]?.out ?? "", "all"), "utf8")).toContain(content(7));

	expect(await reasons("2")).toEqual([
		'options.version changed: "1" → "2"',
		'options.version changed: "1" → "2", input bootstrap changed',
		'options.version changed: "1" → "2", input overlay changed',
	]);
	await writeFile(path.join(root, "src", "b.txt"), "new");
	await writeFile(path.join(root, "src", "a.txt"), "two");
	expect((await reasons())[0]).toBe("src/a.txt changed, src/b.txt is new");
});

test("an output that was changed or removed in the cache is made again", async () => {
	const [first] = await runTest(await planBuild(testBuild(root), testStages(0)));
	await writeFile(path.join(first?.out ?? "", "f3"), "damaged");
	expect(await reasons()).toEqual(["its output is no longer in the cache", "cached", "cached"]);
	await runTest(await planBuild(testBuild(root), testStages(0)));
	expect(await checkWhole()).toBe(3);
	await rm(path.join(first?.out ?? "", "f3"));
	expect((await reasons())[0]).not.toBe("cached");
});

test("kill -9 at any moment leaves no half output, no lock, and nothing behind after the next build", async () => {
	const { calls } = await buildInProcess();
	// Before and after each rename, and at every eighth call.
	const renames = calls.flatMap((name, i) => (name === "rename" ? [i + 1, i + 2] : []));
	const moments = new Set([...renames, ...calls.flatMap((_, i) => (i % 8 === 0 ? [i + 1] : []))]);
	expect(renames.length).toBeGreaterThanOrEqual(6); // three stages, and the record of each
	const whole = new Set<number>();
	for (const moment of moments) {
		await rm(path.join(root, ".cache"), { recursive: true, force: true });
		if (!(await buildInProcess(moment)).killed) continue; // fewer calls than the first time
		whole.add(await checkWhole());
		await runTest(await planBuild(testBuild(root), testStages(0)));
		expect(await checkWhole()).toBe(3);
		expect(await leftovers()).toEqual([]);
	}
	expect([...whole].sort()).toEqual([0, 1, 2, 3]);
});

test("two builds at once make each stage once", async () => {
	await Promise.all([buildInProcess(), buildInProcess(), buildInProcess()]);
	expect((await runs()).sort()).toEqual(["bootstrap", "overlay", "root"]);
	expect(await checkWhole()).toBe(3);
	expect(await leftovers()).toEqual([]);
});

test("a failure tells the tool's last lines and the log; clean-ups run in reverse; nothing is kept", async () => {
	const order: number[] = [];
	const failing = stage("bootstrap", [], async (context) => {
		context.cleanup(async () => void order.push(1));
		context.cleanup(async () => void order.push(2));
		await writeFile(path.join(context.out, "half"), "x");
		await context.run("sh", ["-c", "echo working; echo no such thing >&2; exit 7"]);
	});
	const failed = runTest(await planBuild(testBuild(root), [failing]));
	await expect(failed).rejects.toMatchObject({
		code: "E_TOOL_FAILED",
		message: expect.stringContaining("no such thing"),
		next: expect.stringMatching(/\.cache\/logs\/.*\/01-bootstrap\.log$/),
	});
	expect(order).toEqual([2, 1]);
	expect(await readdir(path.join(root, ".cache", "stages")).catch(() => [])).toEqual([]);
	expect(await leftovers()).toEqual([]);
	expect(await readFile(path.join(root, ".cache", "logs", "latest", "01-bootstrap.log"), "utf8")).toContain(
		"working\nno such thing",
	);

	const broken = stage("bootstrap", [], () => Promise.reject(new TypeError("x is not a function")));
	await expect(runTest(await planBuild(testBuild(root), [broken]))).rejects.toMatchObject({
		code: "E_STAGE",
		exitCode: 5,
	});
});

test("an interrupt stops the program, runs the clean-ups and keeps finished stages only", async () => {
	const abort = new AbortController();
	let undone = false;
	const [first] = testStages(0);
	const long = stage("overlay", ["bootstrap"], async (context) => {
		context.cleanup(async () => {
			undone = true;
		});
		setTimeout(() => abort.abort(), 100);
		await context.run("sleep", ["60"]);
	});
	const deaf = stage("overlay", ["bootstrap"], async (context) => {
		await writeFile(path.join(context.out, "whole?"), "no");
		again.abort();
	});
	const again = new AbortController();
	const plan = await planBuild(testBuild(root), [first as never, long]);
	const started = performance.now();
	await expect(runTest(plan, { signal: abort.signal })).rejects.toMatchObject({ code: "E_INTERRUPTED" });
	expect(performance.now() - started).toBeLessThan(5000);
	expect(undone).toBe(true);
	await expect(
		runTest(await planBuild(testBuild(root), [first as never, deaf]), { signal: again.signal }),
	).rejects.toMatchObject({
		code: "E_INTERRUPTED",
	});
	expect(await readdir(path.join(root, ".cache", "stages"))).toEqual([plan.stages[0]?.id]);
	expect(await leftovers()).toEqual([]);
});

test("stages that do not read each other run at once; one that fails is told at its turn, and what runs on is stopped", async () => {
	let meet = () => {};
	const met = new Promise<void>((resolve) => {
		meet = resolve;
	});
	let undone = false;
	const first = stage("bootstrap", [], () => met);
	const second = stage("overlay", [], () => {
		meet();
		return Promise.reject(new TypeError("too bad"));
	});
	const third = stage("root", [], async (context) => {
		context.cleanup(async () => {
			undone = true;
		});
		await context.run("sleep", ["60"]);
	});
	const plan = await planBuild(testBuild(root), [first, second, third]);
	await expect(runTest(plan)).rejects.toMatchObject({ code: "E_STAGE", message: expect.stringContaining("overlay") });
	expect(undone).toBe(true);
	expect(await readdir(path.join(root, ".cache", "stages"))).toEqual([plan.stages[0]?.id]);
	expect(await leftovers()).toEqual([]);
});

test("too little space is told before any work, with what is needed and what is free", async () => {
	const greedy = stage("bootstrap", [], () => Promise.reject(new Error("must not run")), { space: () => 2 ** 60 });
	await expect(runTest(await planBuild(testBuild(root), [greedy]))).rejects.toMatchObject({
		code: "E_NO_SPACE",
		message: expect.stringMatching(/needs 1048576\.0 TiB .* and \d+\.\d [MGT]iB is free/),
	});
});

test("a secret reaches the stage that declares it, and no log or message", async () => {
	const file = path.join(root, "token");
	await writeFile(file, "C0FFEE-canary-value\n");
	const env = { PRO_TOKEN_FILE: file };
	const using = stage(
		"bootstrap",
		[],
		async (context) => {
			const secret = await context.secret("proToken");
			context.log(`token ${secret?.value}`);
			await context.run("sh", ["-c", `echo ${secret?.value}; echo ${secret?.value} >&2; exit 1`]);
		},
		{ secrets: ["proToken"] },
	);
	const error: unknown = await runTest(await planBuild(testBuild(root), [using]), { env }).catch((e: unknown) => e);
	expect(String((error as Error).message)).toMatch(/\*\*\*/);
	expect(JSON.stringify([(error as Error).message, (error as { next: string }).next])).not.toContain("canary");
	const log = await readFile(path.join(root, ".cache", "logs", "latest", "01-bootstrap.log"), "utf8");
	expect(log.match(/\*\*\*/g)?.length).toBeGreaterThanOrEqual(4);
	expect(log).not.toContain("canary");

	const curious = stage("bootstrap", [], async (context) => void (await context.secret("proToken")));
	await expect(runTest(await planBuild(testBuild(root), [curious]), { env })).rejects.toMatchObject({
		code: "E_INTERNAL",
	});
});
