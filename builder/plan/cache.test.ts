import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StageCache } from "./cache.ts";
import { tryLock } from "./lock.ts";

let dir: string;
beforeEach(async () => {
	dir = await mkdtemp(path.join(tmpdir(), "slipway-cache-"));
});
afterEach(() => rm(dir, { recursive: true }));

test("a working folder that cannot be made leaves no lock, which would keep the process from ending", async () => {
	await writeFile(path.join(dir, "tmp"), "in the way");
	await expect(new StageCache(dir).openWork("x")).rejects.toMatchObject({ code: "ENOTDIR" });
	const lock = await tryLock(path.join(dir, "tmp", "build-x"));
	expect(lock).toBeDefined();
	await lock?.release();
});
