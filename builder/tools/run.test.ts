import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "./run.ts";

let dir: string;
beforeEach(async () => {
	dir = await mkdtemp(path.join(tmpdir(), "slipway-run-"));
});
afterEach(() => rm(dir, { recursive: true }));

test("a program sees the same world whoever calls it, and no word is taken for shell text", async () => {
	process.env.SLIPWAY_TEST_CANARY = "host";
	const { stdout } = await run("env", [], { env: { MINE: "1" } });
	expect(stdout).toMatch(/^LC_ALL=C\.UTF-8$/m);
	expect(stdout).toMatch(/^TZ=UTC$/m);
	expect(stdout).toMatch(/^MINE=1$/m);
	expect(stdout).not.toContain("CANARY");
	expect((await run("printf", ["%s", "$(id); `id` 'x'"])).stdout).toBe("$(id); `id` 'x'");
});

test("failures are coded: not installed, exit code with the last lines, too long", async () => {
	await expect(run("slipway-no-such-program", [])).rejects.toMatchObject({ code: "E_TOOL_MISSING", exitCode: 4 });
	await expect(run("sh", ["-c", "seq 100; exit 3"])).rejects.toMatchObject({
		code: "E_TOOL_FAILED",
		message: expect.stringMatching(/sh failed \(exit code 3\):\n86\n.*\n100$/s),
	});
	await expect(run("sleep", ["60"], { timeout: 50 })).rejects.toMatchObject({
		message: expect.stringContaining("too long"),
	});
	expect((await run("sh", ["-c", "exit 3"], { accept: [0, 3] })).exitCode).toBe(3);
});

test("secrets are masked in the log and in errors, the command line included", async () => {
	const log = path.join(dir, "log");
	const failing = run("sh", ["-c", "echo canary-1; echo canary-1 >&2; exit 1", "canary-1"], {
		log,
		secrets: ["canary-1"],
	});
	await expect(failing).rejects.toMatchObject({ message: expect.not.stringContaining("canary") });
	const text = await readFile(log, "utf8");
	expect(text).not.toContain("canary");
	expect(text.match(/\*\*\*/g)?.length).toBeGreaterThanOrEqual(4);
});

test("on abort everything that the program started ends too, also what ignores it", async () => {
	const abort = new AbortController();
	const pids = path.join(dir, "pids");
	// The outer shell waits for a child that a signal to the shell alone would not reach.
	const script = `sleep 61 & echo $! >${pids}; (trap '' TERM; echo $$ >>${pids}; sleep 62) ; wait`;
	const started = performance.now();
	const running = run("sh", ["-c", script], { signal: abort.signal });
	const expected = expect(running).rejects.toMatchObject({ code: "E_INTERRUPTED" });
	await sleep(300);
	abort.abort();
	await expected;
	expect(performance.now() - started).toBeLessThan(20_000);
	await sleep(100);
	for (const pid of (await readFile(pids, "utf8")).trim().split("\n")) {
		const state = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "gone");
		expect(state === "gone" || / Z /.test(state)).toBe(true);
	}
});

test("a program that fills the disk is told as such", async () => {
	await expect(run("dd", ["if=/dev/zero", "of=/dev/full", "bs=1", "count=1"])).rejects.toMatchObject({
		code: "E_NO_SPACE",
		message: expect.stringContaining("No space left on device"),
	});
});
