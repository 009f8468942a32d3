import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { answer } from "./answer.ts";
import { FAMILIES } from "./families/index.ts";
import type { Attack, Serve } from "./family.ts";
import { FUZZ_RUNS, SEED } from "./settings.ts";
import { Site } from "./site.ts";
import { within } from "./within.ts";

/**
 * Every attack of the table, generated: FUZZ_RUNS cases in all (4,000 when not set), each refused with the code that its
 * family says. FUZZ_SEED repeats a run; a failure shrinks to its smallest case.
 */
const RUNS = Math.ceil(FUZZ_RUNS / FAMILIES.length);
const BATCH = 200;
const MAX_RSS = 256 * 2 ** 20;
/** Of processor time: what others do on the machine is not this code's doing. A hang takes none, and has a bound of its own. */
const MAX_CPU_MS = 5000;
const HANG_MS = 60_000;

let site: Site;
let cases = 0;
let largest = 0;
beforeAll(async () => {
	console.info(`attack families: FUZZ_SEED=${SEED}, ${RUNS} cases of each of ${FAMILIES.length}`);
	site = await Site.make();
});
afterAll(async () => {
	console.info(`attack families: ${cases} cases; at most ${Math.ceil(largest / 2 ** 20)} MiB of memory`);
	await site.remove();
});

test.each(FAMILIES)("$row: $title", { timeout: 0 }, async ({ attacks }) => {
	await fc.assert(fc.asyncProperty(attacks, tryOne), { numRuns: RUNS, seed: SEED });
});

async function tryOne({ what, codes, make, serve }: Attack & { serve: Serve }): Promise<void> {
	const offer = await make(site);
	const began = process.cpuUsage();
	const found = await within(HANG_MS, answer(site, offer, serve));
	const { user, system } = process.cpuUsage(began);
	expect((user + system) / 1000, `${what}: took too long`).toBeLessThan(MAX_CPU_MS);
	if (codes.length === 0) expect(found, what).toEqual([]);
	else expect(codes, `${what}: answered with ${found.join(", ") || "acceptance"}`).toContain(found[0]);
	if (++cases % BATCH === 0) await endBatch();
}

/** Memory is read once a batch; whatever a family held on to would grow. */
async function endBatch(): Promise<void> {
	await site.sweep();
	const { rss } = process.memoryUsage();
	largest = Math.max(largest, rss);
	expect(rss, `memory after ${cases} cases`).toBeLessThan(MAX_RSS);
}
