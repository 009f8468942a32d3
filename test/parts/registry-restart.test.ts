import { access } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { splitRef } from "../../agent/registry/build-view.ts";
import { AgentProcess } from "../support/agent-process.ts";
import { makeContent } from "../support/content.ts";
import { newTally, pullAll, type WantedBlob } from "../support/pulling-client.ts";
import { tempDir } from "../support/temp.ts";

const CLIENTS = 50;
/** Bytes of the layers of each of the images. */
const LAYERS = [8_000_000, 2_000_000, 100_000];
/** What nobody pulls, and has to be loaded too: much more than what has been pulled when the agent is killed. */
const BALLAST = [250_000_000];
const PULLED = 4_000_000;

test("50 clients pull every blob through a load, a kill -9 and a restart: no wrong byte, and each gets all", async () => {
	const dir = await tempDir();
	const bundles = [0, 1, 2, 3].map((i) => ({
		refs: [`docker.io/library/app${i}:1`],
		layers: LAYERS,
		compressible: i % 2 === 1,
		input: { name: `app${i}` },
	}));
	const ballast = { refs: ["docker.io/library/ballast:1"], layers: BALLAST, input: { name: "ballast" } };
	const content = await makeContent(dir, [...bundles, ballast]);
	const blobs = content.bundles.slice(0, -1).flatMap(({ names, index }): WantedBlob[] => {
		const { repository } = splitRef(names[0]!.ref);
		return index.blobs.map(({ digest, size }) => ({ digest, size, path: `/v2/${repository}/blobs/${digest}` }));
	});
	const agent = await AgentProcess.prepare(content);
	onTestFinished(() => agent.end());

	const tally = newTally();
	agent.start();
	// Each begins elsewhere, so that every blob is asked for from the start on.
	const clients = Array.from({ length: CLIENTS }, (_, i) => {
		const first = (i * 5) % blobs.length;
		return pullAll(agent.registry, [...blobs.slice(first), ...blobs.slice(0, first)], tally);
	});
	const all = Promise.all(clients);
	all.catch(() => undefined); // waited for below
	await expect.poll(() => tally.bytes, { timeout: 600_000, interval: 2 }).toBeGreaterThan(PULLED);
	const committed = await access(join(dir, "store/store/catalog.json")).then(
		() => true,
		() => false,
	);
	const before = { ...tally };
	await agent.end("SIGKILL");
	agent.start();
	await agent.ready();
	// No request is lost for longer than the restart takes; and whoever was there before it is served after it.
	expect([...tally.open].filter((nth) => nth < before.begun)).toEqual([]);
	expect(Math.min(...(await all))).toBeGreaterThanOrEqual(before.begun);

	expect(committed).toBe(false); // else there was no load to kill
	expect(before.whole).toBeLessThan(tally.whole);
	expect(tally.cut).toBeGreaterThan(before.cut);
	expect(tally.resumed).toBeGreaterThan(0);
	expect(tally.whole).toBe(CLIENTS * blobs.length);
});
