import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeContent } from "../test/support/content.ts";
import { tempDir } from "../test/support/temp.ts";
import { startAgent } from "./agent.ts";

test("pulls that cannot be recorded are served; the status warns, and no more once the disk takes them", async () => {
	const dir = await tempDir();
	const content = await makeContent(dir, [{ refs: ["a.example/b:1"] }]);
	const config = content.config();
	await mkdir(config.store, { recursive: true });
	await writeFile(join(config.store, "audit"), "no folder");
	const agent = await startAgent(config);
	onTestFinished(() => agent.stop());
	await agent.settled;
	const condition = () => agent.state.status.conditions.find((c) => c.name === "audit");
	const pull = () => fetch(new URL("a.example/b/manifests/1", agent.state.status.urls.registry!));
	expect((await pull()).status).toBe(200);
	await expect.poll(condition).toMatchObject({ ok: true, code: "W_AUDIT" });
	expect([(await pull()).status, agent.state.status.stage]).toEqual([200, "ready"]);
	await rm(join(config.store, "audit"));
	await expect.poll(condition).toMatchObject({ ok: true, code: null });
	const lines = (await readFile(join(config.store, "audit", "pulls.jsonl"), "utf8")).trim().split("\n");
	expect(lines.map((line) => JSON.parse(line).seq)).toEqual([1, 2]);
});
