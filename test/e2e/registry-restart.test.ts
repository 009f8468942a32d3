import { access } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { splitRef } from "../../agent/registry/build-view.ts";
import { AgentProcess } from "../support/agent-process.ts";
import { makeContent } from "../support/content.ts";
import { pullAll, type Tally, type WantedBlob } from "../support/pulling-client.ts";
import { tempDir } from "../support/temp.ts";

const CLIENTS = 50;
/** Bytes of the layers of each of the images: enough that a load is still going on when the first clients have a blob. */
const LAYERS = [8_000_000, 2_000_000, 100_000];

test("50 clients pull every blob through a load, a kill -9 and a restart: no wrong byte, and each gets all", async () => {
	const dir = await tempDir();
	const bundles = [0, 1, 2, 3].map((i) => ({
		refs: [`docker.io/library/app${i}:1`],
		layers: LAYERS,
		compressible: i % 2 === 1,
		input: { name: `app${i}` },
	}));
	const content = await makeContent(dir, bundles);
	const blobs = content.bundles.flatMap(({ names, index }): WantedBlob[] => {
		const { repository } = splitRef(names[0]!.ref);
		return index.blobs.map(({ digest, size }) => ({ digest, size, path: `/v2/${repository}/blobs/${digest}` }));
	});
	const agent = await AgentProcess.prepare(content);
	onTestFinished(() => agent.end());

	const tally: Tally = { bytes: 0, whole: 0, resumed: 0, cut: 0, unavailable: 0 };
	agent.start();
	// Each begins elsewhere, so that every blob is asked for from the start on.
	const clients = Array.from({ length: CLIENTS }, (_, i) => {
		const first = (i * 5) % blobs.length;
		return pullAll(agent.registry, [...blobs.slice(first), ...blobs.slice(0, first)], tally);
	});
	const all = Promise.all(clients);
	all.catch(() => undefined); // waited for below
	await expect.poll(() => tally.bytes, { timeout: 60_000, interval: 2 }).toBeGreaterThan(10_000_000);
	const committed = await access(join(dir, "store/store/catalog.json")).then(
		() => true,
		() => false,
	);
	const before = { ...tally };
	await agent.end("SIGKILL");
	agent.start();
	await agent.ready();
	await all;

	expect(committed).toBe(false); // else there was no load to kill
	expect(before.whole).toBeLessThan(tally.whole);
	expect(tally.cut).toBeGreaterThan(before.cut);
	expect(tally.resumed).toBeGreaterThan(0);
	expect(tally.whole).toBe(CLIENTS * blobs.length);
});
