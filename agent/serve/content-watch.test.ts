import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { ContentWatch } from "./content-watch.ts";

const LOOK_MS = 10;
const SOME_LOOKS_MS = 100;

test("another release than the one noted is told; before anything is noted, nothing is", async () => {
	const content = await tempDir();
	const file = join(content, "release.dsse.json");
	await writeFile(file, "1");
	let told = 0;
	const watch = new ContentWatch(content, () => told++, LOOK_MS);
	try {
		await sleep(SOME_LOOKS_MS);
		expect(told).toBe(0); // it is read for the first time when the agent gets to it, however late that is
		await watch.note();
		await sleep(SOME_LOOKS_MS);
		expect(told).toBe(0);
		await rm(file);
		await sleep(SOME_LOOKS_MS);
		expect(told).toBe(0);
		await writeFile(file, "another");
		await expect.poll(() => told).toBeGreaterThan(0);
		await watch.note();
		told = 0;
		await sleep(SOME_LOOKS_MS);
		expect(told).toBe(0);
	} finally {
		watch.stop();
	}
});

test("a medium that comes after nothing was found is told", async () => {
	const content = await tempDir();
	let told = 0;
	const watch = new ContentWatch(content, () => told++, LOOK_MS);
	try {
		await watch.note();
		await writeFile(join(content, "release.dsse.json"), "1");
		await expect.poll(() => told).toBeGreaterThan(0);
	} finally {
		watch.stop();
	}
});
