import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { makeContent, type TestContent } from "../test/support/content.ts";
import { tempDir } from "../test/support/temp.ts";
import { type Agent, startAgent } from "./agent.ts";
import { bootFaults, watchBoot } from "./preflight/boot.ts";

/** What was refused before the agent started: told, and no reason to serve less than what is there. */

let agent: Agent | undefined;
afterEach(async () => {
	await agent?.stop();
	agent = undefined;
});

const MEDIUM = "E_MEDIA\nMore than one medium has the label X: sda sr0.\nLeave exactly one medium in the machine.\n";
const DISK = "E_IO\nThe data partition /dev/vdb1 cannot be mounted.\nCheck the file system on it with fsck.\n";

async function start(content: TestContent, failure?: string): Promise<Agent> {
	await agent?.stop();
	await mkdir(join(content.dir, "boot"), { recursive: true });
	if (failure !== undefined) await writeFile(join(content.dir, "boot/failure"), failure);
	agent = await startAgent(content.config(), { kernel: { rootId: null, checkMedium: false } });
	await agent.settled;
	return agent;
}

const newContent = async () => makeContent(await tempDir(), [{ refs: ["slipway.local/core/nginx:1"] }]);
const answers = async () => {
	const { registry, status } = agent!.state.status.urls;
	const paths = [new URL("slipway.local/core/nginx/manifests/1", registry!), new URL("readyz", status!)];
	return Promise.all(paths.map(async (url) => (await fetch(url)).status));
};

test("the medium was refused: the committed set is served, and the refusal told", async () => {
	const content = await newContent();
	await start(content);
	expect(agent!.state.status.stage).toBe("ready");
	await rm(content.content, { recursive: true });
	const { state } = await start(content, MEDIUM);
	expect(state.status.stage).toBe("degraded");
	expect(state.status.conditions).toContainEqual({
		name: "boot",
		ok: false,
		code: "E_MEDIA",
		cause: "More than one medium has the label X: sda sr0.",
		next: "Leave exactly one medium in the machine.",
	});
	expect(await answers()).toEqual([200, 200]);
});

test("the data disk was refused: the medium's set is loaded and served, but not all is well", async () => {
	const content = await newContent();
	await start(content, DISK + MEDIUM);
	const { stage, conditions } = agent!.state.status;
	expect(stage).toBe("degraded");
	expect(conditions.filter((c) => !c.ok).map((c) => [c.name, c.code])).toEqual([
		["boot", "E_IO"],
		["boot-2", "E_MEDIA"],
	]);
	expect(await answers()).toEqual([200, 200]);
});

test("a root image that is not checked as the kernel line asks: nothing is loaded, and why is told", async () => {
	const content = await newContent();
	await start(content);
	const kernel = { rootId: null, checkMedium: false, verity: `12:${"a".repeat(64)}:${"b".repeat(64)}` };
	await agent!.stop();
	agent = await startAgent(content.config(), { kernel });
	await agent.settled;
	const { stage, boot, conditions } = agent.state.status;
	expect([stage, boot.root]).toEqual(["failed", "unchecked"]);
	expect(conditions.filter((c) => !c.ok).map((c) => [c.name, c.code])).toEqual([["root", "E_ROOT_IMAGE"]]);
	expect(await answers()).toEqual([503, 503]);
});

test("what is refused while the agent runs is told, and no more when it is over", async () => {
	const content = await newContent();
	const { state } = await start(content);
	const stop = watchBoot(join(content.dir, "boot"), state, 20);
	try {
		await writeFile(join(content.dir, "boot/medium"), MEDIUM);
		await expect.poll(() => state.status.stage).toBe("degraded");
		expect(state.status.conditions.filter((c) => !c.ok).map((c) => [c.name, c.code])).toEqual([["boot", "E_MEDIA"]]);
		expect(await answers()).toEqual([200, 200]);
		await writeFile(join(content.dir, "boot/failure"), DISK);
		await expect.poll(() => state.isWrong("boot-2")).toBe(true);
		await rm(join(content.dir, "boot/failure"));
		await writeFile(join(content.dir, "boot/medium"), "");
		await expect.poll(() => state.status.stage).toBe("ready");
		expect(state.status.conditions.filter((c) => !c.ok)).toEqual([]);
	} finally {
		stop();
	}
});

test("a record that is cut off, unknown or no file is a fault too", async () => {
	const boot = await tempDir();
	const codes = async () => (await bootFaults(boot)).map((fault) => fault.code);
	expect(await codes()).toEqual([]);
	await writeFile(join(boot, "failure"), "E_MEDIA\nNo medium");
	expect(await codes()).toEqual(["E_MEDIA"]);
	await writeFile(join(boot, "failure"), "something\nelse\nhere\n");
	expect(await codes()).toEqual(["E_INTERNAL"]);
	await rm(join(boot, "failure"));
	await symlink("/etc/hostname", join(boot, "failure"));
	expect(await codes()).toEqual(["E_IO"]);
});
