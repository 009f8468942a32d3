import { createHash } from "node:crypto";
import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { AgentProcess } from "../support/agent-process.ts";
import { makeContent, type TestContent } from "../support/content.ts";
import { tempDir } from "../support/temp.ts";

/** The blob that is being written, the one that is being hashed, and two that are being made durable. */
const WORKERS = 4;
const LAYERS = Array.from({ length: 24 }, (_, i) => 4_000_000 + i);

let agent: AgentProcess | undefined;
afterEach(() => agent?.end());

const storeFolder = (content: TestContent) => join(content.dir, "store", "store");

async function filesIn(folder: string): Promise<string[]> {
	const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
	return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

/** Inode and time of writing of each blob that has its name. */
async function named(content: TestContent): Promise<Map<string, string>> {
	const look = (await filesIn(join(storeFolder(content), "blobs"))).map(async (path) => {
		const { ino, mtimeNs } = await lstat(path, { bigint: true });
		return [path, `${ino} ${mtimeNs}`] as const;
	});
	return new Map(await Promise.all(look));
}

test("killed again and again in mid-load, it writes nothing twice that was done, and ends whole", async () => {
	const content = await makeContent(await tempDir(), [{ layers: LAYERS }]);
	agent = await AgentProcess.prepare(content, { serve: "store" });
	const blobs = new Set(content.bundles[0]!.index.blobs.map((blob) => blob.digest));
	let kept = new Map<string, string>();
	for (const share of [0.15, 0.3, 0.45, 0.6]) {
		agent.start();
		// Stopped at each look: on a busy machine it would else be at its end before anybody has seen the middle.
		for (agent.signal("SIGSTOP"); (await named(content)).size < blobs.size * share; agent.signal("SIGSTOP")) {
			agent.signal("SIGCONT");
			await setTimeout(1);
		}
		await agent.end("SIGKILL");
		expect((await filesIn(join(storeFolder(content), "ingest"))).length).toBeLessThanOrEqual(WORKERS);
		const now = await named(content);
		for (const [path, look] of kept) expect([path, now.get(path)]).toEqual([path, look]);
		kept = now;
	}
	expect(await filesIn(storeFolder(content))).not.toContain(join(storeFolder(content), "catalog.json"));
	agent.start();
	await agent.ready();
	const whole = await named(content);
	for (const [path, look] of kept) expect([path, whole.get(path)]).toEqual([path, look]);
	expect(whole.size).toBe(blobs.size);
	for (const path of whole.keys()) {
		const hex = path.split("/").at(-1);
		expect(
			createHash("sha256")
				.update(await readFile(path))
				.digest("hex"),
		).toBe(hex);
	}
});

test("asked to end in mid-load it ends soon, and leaves no half blob", async () => {
	const content = await makeContent(await tempDir(), [{ layers: LAYERS }]);
	agent = await AgentProcess.prepare(content, { serve: "store" });
	agent.start();
	while ((await filesIn(join(storeFolder(content), "blobs"))).length < 3) await setTimeout(1);
	await agent.end("SIGTERM");
	expect(await filesIn(join(storeFolder(content), "ingest"))).toEqual([]);
	const kept = await named(content);
	expect(kept.size).toBeGreaterThanOrEqual(3);
	agent.start();
	await agent.ready();
	const whole = await named(content);
	for (const [path, look] of kept) expect([path, whole.get(path)]).toEqual([path, look]);
});

test("a second agent on the same store ends with E_BUSY, and the first goes on", async () => {
	const content = await makeContent(await tempDir(), [{}]);
	agent = await AgentProcess.prepare(content, { serve: "store" });
	agent.start();
	await agent.ready();
	const second = await agent.ask();
	expect([second.exitCode, second.stderr]).toEqual([5, expect.stringContaining("E_BUSY: Another agent already uses")]);
	await agent.ready();
});
