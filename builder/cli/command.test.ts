import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { projectRoot } from "./command.ts";

let dir: string;
beforeEach(async () => {
	dir = await mkdtemp(path.join(tmpdir(), "slipway-command-"));
});
afterEach(() => rm(dir, { recursive: true }));

test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("%s lets the running program clean up first", async (signal) => {
	const [started, cleaned] = [path.join(dir, "started"), path.join(dir, "cleaned")];
	const program = `trap 'sleep 0.3; echo yes >${cleaned}; exit' TERM; echo >${started}; while :; do sleep 0.05; done`;
	const code = `
		import { interruptSignal } from "${projectRoot}/builder/cli/command.ts";
		import { run } from "${projectRoot}/builder/tools/run.ts";
		await run("sh", ["-c", ${JSON.stringify(program)}], { signal: interruptSignal() });`;
	const child = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: "ignore" });
	const ended = new Promise((resolve) => child.on("exit", resolve));
	const there = (file: string) => readFile(file, "utf8").catch(() => undefined);
	while ((await there(started)) === undefined && child.exitCode === null) await sleep(10);
	child.kill(signal);
	await ended;
	expect(await there(cleaned)).toBe("yes\n");
});
