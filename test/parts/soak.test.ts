import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { startAgent } from "../../agent/agent.ts";
import { fsck } from "../../agent/store/fsck.ts";
import { Store } from "../../agent/store/store.ts";
import { testSigner } from "../support/bundles.ts";
import { makeContent } from "../support/content.ts";
import { tempDir } from "../support/temp.ts";

/** Release after release on one box; as many as `SOAK` says, 20 by default. What each leaves must not add up. */

const CYCLES = Number(process.env.SOAK ?? 20);
/** Before this one, caches fill. */
const WARM = 8;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes that something still refers to. */
function live(): number {
	collectGarbage();
	const { heapUsed, external } = process.memoryUsage();
	return heapUsed + external;
}

const fds = async () => (await readdir("/proc/self/fd")).length;

test(`${CYCLES} releases one after the other leave two in the store, no files half written, no open files`, async () => {
	const [dir, signer] = [await tempDir(), testSigner()];
	const store = join(dir, "store", "store");
	let [open, memory] = [0, 0];
	let previous: string[] = [];
	for (let cycle = 1; cycle <= CYCLES; cycle++) {
		await rm(join(dir, "content"), { recursive: true, force: true });
		const bundle = {
			refs: [`slipway.local/soak/app:${cycle}`],
			layers: [2_000_000, 100 + cycle, 5000],
			input: { name: "soak", version: `1.0.${cycle}`, sequence: cycle },
		};
		const content = await makeContent(dir, [bundle], signer);
		await content.writeRelease({ sequence: cycle, version: `1.0.${cycle}` });
		const agent = await startAgent(content.config(), { kernel: { rootId: null, checkMedium: false } });
		await agent.settled;
		expect([cycle, agent.state.status.stage]).toEqual([cycle, "ready"]);
		await agent.stop();

		const current = content.bundles[0]!.index.blobs.map((blob) => blob.digest);
		const files = await readdir(join(store, "blobs"), { recursive: true, withFileTypes: true });
		const held = files.filter((file) => file.isFile()).map((file) => file.name);
		expect(held.sort()).toEqual([...new Set([...previous, ...current])].map((digest) => digest.split(":")[1]!).sort());
		previous = current;
		expect([await readdir(join(store, "ingest")), (await readdir(join(store, "signed"))).length]).toEqual([
			[],
			cycle === 1 ? 3 : 6,
		]);
		if (cycle === WARM) [open, memory] = [await fds(), live()];
	}
	const report = await fsck(await Store.open(store), { mode: "full", condemn: () => expect.unreachable() });
	expect([report.ok, report.extra, report.releases.length]).toEqual([true, [], 2]);
	// A stopped agent's medium is closed a moment later.
	await expect.poll(fds).toBeLessThanOrEqual(open);
	// A tenth of what one cycle works on, for each: what is kept of a bundle or a store would be more.
	await expect.poll(() => live() - memory).toBeLessThan((CYCLES - WARM) * 200_000);
});
