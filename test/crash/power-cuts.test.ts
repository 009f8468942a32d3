import { resolve } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";

/** `make crash-full` sets more. */
const ROUNDS = process.env.CRASH_ROUNDS ?? "1";
const STATES = process.env.CRASH_STATES ?? "800";
const SEED = process.env.CRASH_SEED ?? String(Date.now() % 1_000_000);

test.concurrent.for(["ext4", "xfs"])("the store outlives a power cut at any moment, on %s", async (fs) => {
	const args = ["--fs", fs, "--rounds", ROUNDS, "--states", STATES, "--seed", SEED, "--attached"];
	const { exitCode, stdout } = await execa(resolve(import.meta.dirname, "run"), args, {
		stdin: "pipe",
		stderr: "inherit",
		reject: false,
	});
	console.log(stdout);
	expect(exitCode, stdout).toBe(0);
	expect(stdout.match(/ 0 bad states$/gm)).toHaveLength(Number(ROUNDS));
});
