import { createHash } from "node:crypto";
import { chmod, lstat, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { COMMANDS } from "../../agent/commands/list.ts";
import type { FsckReport } from "../../agent/store/fsck.ts";
import { Store } from "../../agent/store/store.ts";
import { run } from "../../builder/tools/run.ts";
import { inventory } from "../../bundle/inventory.ts";
import { AgentProcess } from "../support/agent-process.ts";
import { makeContent, type TestContent } from "../support/content.ts";
import { projectRoot } from "../support/packs.ts";
import { rot } from "../support/rot.ts";
import { tempDir } from "../support/temp.ts";

/** The care of the store by a real agent: what it finds, what it never serves, and what it repairs from the medium. */

const REPOSITORY = "slipway.local/core/many";
const LAYERS = [8_000_000, ...Array.from({ length: 500 }, (_, i) => 200 + i)];

let content: TestContent;
let agent: AgentProcess;
let small: { digest: string; size: number }[] = [];
beforeAll(async () => {
	content = await makeContent(await tempDir(), [{ refs: [`${REPOSITORY}:1`], layers: LAYERS }]);
	agent = await AgentProcess.prepare(content, { scrub: { everyHours: 0 } });
	small = content.bundles[0]!.index.blobs.filter(({ size }) => size >= 200 && size < 700);
});
afterAll(() => agent.end());

const openStore = () => Store.open(join(content.dir, "store", "store"));
const settle = (stage: string) =>
	expect.poll(async () => (await agent.status())?.stage, { timeout: 600_000, interval: 500 }).toBe(stage);

/** Asks for every small blob; gives how many answers came whole, after checking that each of these is right. */
async function pullAll(): Promise<number> {
	const { urls } = (await agent.status())!;
	let whole = 0;
	for (const { digest, size } of small) {
		const url = new URL(`${REPOSITORY}/blobs/${digest}`, urls.registry!);
		const response = await fetch(url, { signal: AbortSignal.timeout(300_000) }).catch(() => undefined);
		const bytes = response?.status === 200 ? await response.arrayBuffer().catch(() => undefined) : undefined;
		if (bytes === undefined) continue;
		const found = createHash("sha256").update(Buffer.from(bytes)).digest("hex");
		expect([bytes.byteLength, `sha256:${found}`]).toEqual([size, digest]);
		whole++;
	}
	return whole;
}

async function report(...mode: string[]): Promise<{ exitCode: number | null; found: FsckReport }> {
	const { exitCode, stdout, stderr } = await agent.ask("fsck", ...mode, "--json");
	expect(stderr).toBe("");
	return { exitCode, found: JSON.parse(stdout) as FsckReport };
}

test("while it serves: checks are quick and full, the inventory is always the same, what nothing needs is collected", async () => {
	agent.start();
	await settle("ready");
	const pulls = pullAll();
	const quick = await report();
	expect([quick.exitCode, quick.found.ok, quick.found.bytes]).toEqual([0, true, 0]);
	const full = await report("--full");
	const size = content.bundles[0]!.index.blobs.reduce((sum, blob) => sum + blob.size, 0);
	expect([full.exitCode, full.found.ok, full.found.bytes]).toEqual([0, true, size]);

	const lists = [await agent.ask("inventory"), await agent.ask("inventory")];
	expect(lists[0]).toEqual(lists[1]);
	const { bundles, blobs, releases } = inventory.parse(JSON.parse(lists[0]!.stdout));
	expect(bundles.map((bundle) => bundle.indexDigest)).toEqual([content.bundles[0]!.indexDigest]);
	expect(releases.map(({ role, sequence }) => [role, sequence])).toEqual([["current", 1]]);
	expect(blobs.length).toBe(content.bundles[0]!.index.blobs.length);

	const stray = `sha256:${"ab".repeat(32)}`;
	const path = join(content.dir, "store/store/blobs/sha256/ab", "ab".repeat(32));
	await mkdir(join(path, ".."), { recursive: true });
	await writeFile(path, "stray");
	expect((await report()).found.extra).toEqual([`blobs/sha256/ab/${stray.slice(7)}`]);
	expect((await agent.ask("gc")).stdout).toBe("5 bytes freed: 1 blob, 0 documents\n");
	await expect(lstat(path)).rejects.toMatchObject({ code: "ENOENT" });
	expect(await pulls).toBe(500);
});

test("500 rotten blobs without the medium: all found, none served, degraded with their names; then loaded again", async () => {
	await agent.end("SIGTERM");
	const bad = small.map((blob) => blob.digest).sort();
	expect(bad.length).toBe(500);
	await rot(await openStore(), bad);
	await rename(content.content, `${content.content}-away`);
	agent.start();
	await settle("degraded"); // for want of the medium; by its look the store is whole
	expect((await agent.status())?.missingBlobs).toEqual([]);

	const { exitCode, found } = await report("--full");
	expect([exitCode, found.bad.map((fault) => fault.name).sort()]).toEqual([6, bad]);
	const status = (await agent.status())!;
	expect([status.stage, status.missingBlobs?.toSorted()]).toEqual(["degraded", bad]);
	expect((await fetch(new URL("readyz", status.urls.status!))).status).toBe(503);
	expect(await pullAll()).toBe(0);
	const text = (await agent.ask("fsck")).stdout;
	expect(text).toContain(`missing: ${bad[0]} (current release): its file is missing`);
	expect(text).toMatch(/: 500 faults\n$/);

	await rename(`${content.content}-away`, content.content);
	await settle("ready");
	expect(await pullAll()).toBe(500);
	expect((await report("--full")).exitCode).toBe(0);
	const quarantine = join(content.dir, "store/store/quarantine");
	expect((await readdir(quarantine)).length).toBe(16);
	await agent.ask("gc");
	expect(await readdir(quarantine)).toEqual([]);
});

test("the scrub finds what rotted while the medium is there, and it is loaded again", async () => {
	await agent.end("SIGTERM");
	await rot(
		await openStore(),
		small.map((blob) => blob.digest),
	);
	agent.start();
	await settle("ready");
	const { exitCode, stdout } = await agent.ask("scrub");
	expect([exitCode, stdout]).toEqual([0, expect.stringContaining("Under way")]);
	const last = async () => (await agent.status())?.scrub.last;
	await expect.poll(last, { timeout: 600_000, interval: 500 }).toMatchObject({ bad: 500 });
	await settle("ready");
	expect(await pullAll()).toBe(500);
	await agent.end("SIGTERM");
	const kept = JSON.parse(await readFile(join(content.dir, "store/state/scrub.json"), "utf8"));
	expect(kept).toMatchObject({ position: null, last: { bad: 500 } });
});

test("a store whose agent does not run is checked under its lock, and repaired at the next start", async () => {
	await agent.end("SIGTERM");
	const { digest } = small[7]!;
	await rot(await openStore(), [digest]);
	const { exitCode, found } = await report("--full");
	expect([exitCode, found.bad.map((fault) => fault.name)]).toEqual([6, [digest]]);
	expect(await agent.ask("status")).toMatchObject({
		exitCode: 5,
		stderr: expect.stringMatching(/^E_AGENT_DOWN: .*\n {2}Next: /),
	});
	agent.start();
	await settle("ready");
	expect((await report("--full")).exitCode).toBe(0);
	expect(await pullAll()).toBe(500);
	await agent.end("SIGTERM");
});

test("root leaves nothing in the store of another user that this user may not touch", async () => {
	const owner = 65534;
	await run("chown", ["-R", `${owner}:${owner}`, join(content.dir, "store")]);
	await chmod(content.dir, 0o755);
	await rot(await openStore(), [small[3]!.digest]);
	await run("chown", ["-R", `${owner}:${owner}`, join(content.dir, "store")]);
	const output = join(content.dir, "inventory.json");
	// Every file looks otherwise now, so all are read; those with the right bytes are recorded anew.
	const { found } = await report();
	expect(found.bad.map((fault) => fault.name)).toEqual([small[3]!.digest]);
	expect(found.blobs).toBe(content.bundles[0]!.index.blobs.length);
	expect((await report()).found.bytes).toBe(0);
	expect((await agent.ask("inventory", "--output", output)).exitCode).toBe(0);
	expect((await lstat(output)).uid).toBe(process.getuid!());
	const { stdout } = await run("find", [join(content.dir, "store/store"), "!", "-uid", String(owner)]);
	expect(stdout).toBe("");
});

test("every command has its help; what is wrong on the command line is told with the exit code", async () => {
	const slipway = (...args: string[]) => run(join(projectRoot, "slipway"), ["agent", ...args], { accept: [0, 2] });
	const help = await slipway("--help");
	for (const { name, summary } of COMMANDS) {
		expect(help.stdout).toContain(summary);
		const own = await slipway(name, "--help");
		expect([own.exitCode, own.stdout]).toEqual([0, expect.stringContaining("--config FILE")]);
		expect(await slipway(name)).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^E_USAGE: --config/) });
		expect(await slipway(name, "--nope")).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^E_USAGE/) });
	}
	expect(await slipway("frobnicate")).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^E_USAGE/) });
});
