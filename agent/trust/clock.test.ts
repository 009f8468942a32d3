import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { testSigner } from "../../test/support/bundles.ts";
import { makeContent } from "../../test/support/content.ts";
import { tempDir } from "../../test/support/temp.ts";
import { type Agent, startAgent } from "../agent.ts";

/** A box may have no clock, or one that anybody can set: what it trusts must not depend on it. */

const HOST = { kernel: { rootId: null, checkMedium: false } };
const ROOT = new URL("../..", import.meta.url).pathname;
let agent: Agent | undefined;
afterEach(async () => {
	vi.useRealTimers();
	await agent?.stop();
});

test("no code that decides about trust asks for the time", async () => {
	const own = (await readdir(join(ROOT, "agent/trust"))).filter((name) => !name.includes(".test."));
	const shared = (await readdir(join(ROOT, "bundle"))).filter((name) =>
		/^(dsse|further|keys|release|role|signature|statement|trust|verify|whole|index)[a-z-]*\.ts$/.test(name),
	);
	expect([own, shared]).toEqual([
		expect.arrayContaining(["checks.ts", "floors.ts", "ledger.ts"]),
		expect.arrayContaining(["dsse.ts", "keys.ts", "statements.ts", "trust.ts", "verify.ts"]),
	]);
	for (const file of [...own.map((name) => `agent/trust/${name}`), ...shared.map((name) => `bundle/${name}`)]) {
		expect([file, /\bDate\b|\bperformance\b|hrtime/.exec(await readFile(join(ROOT, file), "utf8"))]).toEqual([
			file,
			null,
		]);
	}
});

test.each([
	["1970", 0, 0],
	["2099", Date.UTC(2099, 0), Date.UTC(2099, 0)],
	["a jump forward during the load", 0, Date.UTC(2099, 0)],
	["a jump back during the load", Date.UTC(2099, 0), 0],
])("%s: content loads, an older release is refused, and the same box starts again", async (_, first, then) => {
	const dir = await tempDir();
	const signer = testSigner();
	const bundles = [{ refs: ["slipway.local/a/b:1"], layers: [2_000_000], input: { name: "core" } }];
	const old = await makeContent(await tempDir(), bundles, signer);
	const content = await makeContent(dir, bundles, signer);
	vi.useFakeTimers({ toFake: ["Date"], now: first });
	agent = await startAgent(content.config(), HOST);
	agent.state.subscribe(({ progress }) => progress.bytesDone > 0 && vi.setSystemTime(then));
	await agent.settled;
	expect([agent.state.status.stage, Date.now() >= then]).toEqual(["ready", true]);
	await agent.stop();

	vi.setSystemTime(first);
	agent = await startAgent(content.config({ content: old.content }), HOST);
	await agent.settled;
	const { stage, conditions } = agent.state.status;
	expect([stage, conditions.filter((c) => !c.ok).map((c) => c.code)]).toEqual([
		"degraded",
		["E_ROLLBACK", "E_ROLLBACK"],
	]);
	await agent.stop();

	vi.setSystemTime(then);
	agent = await startAgent(content.config(), HOST);
	await agent.settled;
	expect(agent.state.status.stage).toBe("ready");
});
