import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SlipwayError } from "../../bundle/errors.ts";
import { makeContent, type TestContent } from "../../test/support/content.ts";
import { tempDir } from "../../test/support/temp.ts";
import { type Agent, startAgent } from "../agent.ts";
import type { checkWhole } from "./whole-check.ts";

/** The check of the whole files ends when the test says so, as on a medium that takes minutes to read. */
const checks: { resolve: () => void; reject: (error: Error) => void }[] = vi.hoisted(() => []);
vi.mock("./whole-check.ts", () => ({
	checkWhole: ((_medium, _trust, state) => {
		state.warn("wholeFileVerified", "W_WHOLE_FILE", "being checked");
		return new Promise<void>((resolve, reject) => checks.push({ resolve, reject })).then(() =>
			state.condition("wholeFileVerified"),
		);
	}) satisfies typeof checkWhole,
}));

let agent: Agent | undefined;
beforeEach(() => {
	checks.length = 0;
});
afterEach(async () => {
	await agent?.stop();
	agent = undefined;
});

const status = () => agent!.state.status;
const told = (name: string) => status().conditions.find((c) => c.name === name);
const answers = async () => {
	const urls = [new URL("_catalog", status().urls.registry!), new URL("readyz", status().urls.status!)];
	return Promise.all(urls.map(async (url) => (await fetch(url)).status));
};

async function start(content: TestContent, extra: object): Promise<void> {
	agent = await startAgent(content.config(extra), { kernel: { rootId: null, checkMedium: false } });
	await agent.settled;
}

test("the check of a set that is served no more changes nothing for the one that was committed since", async () => {
	const dir = await tempDir();
	const large = await makeContent(dir, [{ refs: ["a.local/large/one:1"], layers: [3_000_000] }]);
	await start(large, { limits: { storeMiB: 2 } });
	expect([status().servedFrom, told("load")?.code, checks.length]).toEqual(["medium", "E_NO_SPACE", 1]);
	await rm(join(dir, "content"), { recursive: true });
	await makeContent(dir, [{ refs: ["a.local/small/two:1"], layers: [1000] }], large.signer);
	await expect.poll(() => status().stage).toBe("ready");
	expect([status().servedFrom, told("wholeFileVerified")]).toEqual(["store", undefined]);
	checks[0]!.reject(new SlipwayError("E_SIG_INVALID", "It is another's."));
	await new Promise((resolve) => setTimeout(resolve, 100));
	expect([status().stage, status().servedFrom, ...(await answers())]).toEqual(["ready", "store", 200, 200]);
});

test("a check that cannot be done to its end is told, and done again", async () => {
	const content = await makeContent(await tempDir(), [{ refs: ["a.local/b/one:1"] }]);
	await start(content, { serve: "in-place" });
	expect(status().stage).toBe("ready");
	checks[0]!.reject(new SlipwayError("E_IO", "A sector cannot be read."));
	await expect.poll(() => status().lastError?.code).toBe("E_IO");
	await expect.poll(() => checks.length).toBe(2);
	checks[1]!.resolve();
	await expect.poll(() => [status().stage, told("wholeFileVerified")?.code]).toEqual(["ready", null]);
});
