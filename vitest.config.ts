import { defineConfig } from "vitest/config";

/** Waits end when they are fulfilled; a machine that is shared may take ten times as long as one that is not. */
const expect = { poll: { timeout: 120_000 } };

/**
 * `unit` stands beside the code, needs no root and no network, and takes seconds. `attacks` offers hostile content to it, `crash`
 * cuts its power; both mount file systems, so they need root. `parts` takes real programs beside the code (registries and their
 * clients, disks, mmdebstrap), `e2e` builds and boots what is shipped: one file at a time, long time-outs. See docs/testing.md.
 */
export default defineConfig({
	test: {
		// A snapshot that is missing is an error; `--update` writes it.
		update: "none",
		reporters: ["default", "./test/support/failure-list.ts"],
		projects: [
			{
				test: {
					name: "unit",
					expect,
					include: ["{agent,builder,bundle,scripts}/**/*.test.ts"],
					testTimeout: 10 * 60_000,
					hookTimeout: 10 * 60_000,
				},
			},
			{
				test: {
					name: "attacks",
					expect,
					include: ["test/attacks/**/*.test.ts"],
					maxWorkers: 2,
					// What a box may use is asserted, so garbage must not be left lying about as it is with 24 GiB to spare.
					execArgv: ["--max-semi-space-size=4", "--max-old-space-size=160"],
					testTimeout: 15 * 60_000,
					hookTimeout: 15 * 60_000,
				},
			},
			{
				test: {
					name: "crash",
					expect,
					include: ["test/crash/**/*.test.ts"],
					fileParallelism: false,
					testTimeout: 60 * 60_000,
					hookTimeout: 10 * 60_000,
				},
			},
			{
				test: {
					name: "parts",
					expect,
					include: ["test/parts/**/*.test.ts"],
					fileParallelism: false,
					testTimeout: 30 * 60_000,
					hookTimeout: 30 * 60_000,
				},
			},
			{
				test: {
					name: "e2e",
					expect,
					include: ["test/e2e/**/*.test.ts"],
					fileParallelism: false,
					testTimeout: 40 * 60_000,
					hookTimeout: 60 * 60_000,
				},
			},
		],
	},
});
