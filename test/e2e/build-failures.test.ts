import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PlainMonitor } from "../../builder/monitor/plain.ts";
import { planBuild } from "../../builder/plan/plan.ts";
import { checkProfile, prepareBuild } from "../../builder/plan/prepare.ts";
import { runPlan } from "../../builder/plan/run-plan.ts";
import { STAGES } from "../../builder/stages/index.ts";
import { run } from "../../builder/tools/run.ts";

/** What a build does when it cannot go on: the real stages and programs, in a cache of their own. */
const root = path.resolve(import.meta.dirname, "../..");
const monitor = new PlainMonitor({ write: () => true });
let dir: string;
beforeEach(async () => {
	dir = await mkdtemp(path.join(tmpdir(), "slipway-failures-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** The plan of the real profile with an empty cache in `cacheDir`, up to and with stage `last`. */
async function planIn(cacheDir: string, last: string, signal: AbortSignal) {
	const request = { root, profile: "vertex-fips-amd64", base: "debian-13", env: process.env };
	const build = await prepareBuild(request, await checkProfile(request), { offline: false, signal });
	const count = STAGES.findIndex((stage) => stage.name === last) + 1;
	return planBuild({ ...build, cacheDir }, STAGES.slice(0, count));
}

function slipway(args: string[], env: Record<string, string>) {
	return run(path.join(root, "slipway"), args, { cwd: root, env, accept: [0, 2, 3, 4, 5, 6] });
}

/** Command lines of running processes that name a folder. */
async function usersOf(folder: string): Promise<string[]> {
	const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
	const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
	return lines.filter((line) => line.includes(folder));
}

test("an interrupt in the middle of an installation ends it, unmounts, and leaves nothing", async () => {
	const abort = new AbortController();
	const plan = await planIn(dir, "bootstrap", abort.signal);
	const running = runPlan(plan, { signal: abort.signal, monitor });
	const expected = expect(running).rejects.toMatchObject({ code: "E_INTERRUPTED", exitCode: 5 });
	const log = path.join(dir, "logs", "latest", "01-bootstrap.log");
	// Packages are being installed: the moment with the most to clean up. Bounded: if it fails first, `expected` says so.
	for (let i = 0; i < 3000 && !/installing remaining/.test(await readFile(log, "utf8").catch(() => "")); i++)
		await sleep(100);
	await sleep(3000);
	const started = performance.now();
	abort.abort();
	await expected;
	expect(performance.now() - started).toBeLessThan(30_000);
	expect(await readdir(path.join(dir, "tmp"))).toEqual([]);
	expect(await readdir(path.join(dir, "stages")).catch(() => [])).toEqual([]);
	expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(dir);
	expect(await usersOf(dir)).toEqual([]);
});

test("too little space is found before any work", async () => {
	await run("mount", ["-t", "tmpfs", "-o", "size=50m", "tmpfs", dir]);
	try {
		const { signal } = new AbortController();
		await expect(runPlan(await planIn(dir, "root", signal), { signal, monitor })).rejects.toMatchObject({
			code: "E_NO_SPACE",
			exitCode: 5,
			message: expect.stringMatching(/needs \d+\.\d GiB in .*, and (49|50)\.\d MiB is free/),
		});
		expect(await readdir(dir)).toEqual([]);
	} finally {
		await run("umount", [dir]);
	}
});

test("an archive that cannot be reached, and a keyring that is not there, are told with the ways out", async () => {
	const resolve = path.join(root, ".cache", "resolve");
	const before = await readdir(resolve).catch(() => []);
	// Nothing listens on port 1 of the loopback interface.
	const mirror = "http://127.0.0.1:1/debian";
	const unreachable = await slipway(["build", "vertex-fips-amd64"], { BASE: "debian-13", MIRROR: mirror });
	expect(unreachable.exitCode).toBe(4);
	expect(unreachable.stderr).toMatch(/^E_ARCHIVE_UNREACHABLE: .*\n {2}Next: .*MIRROR=.*BASE=/m);
	const args = [
		"build",
		"vertex-fips-amd64",
		"--base",
		"debian-13",
		"--mirror",
		mirror,
		"--keyring",
		"/nonexistent.gpg",
	];
	const keyless = await slipway(args, {});
	expect(keyless.exitCode).toBe(4);
	expect(keyless.stderr).toMatch(/E_KEYRING: .*nonexistent.*\n {2}Next: .*KEYRING=/);
	expect(await readdir(resolve)).toEqual(before);
});
