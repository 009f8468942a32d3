import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StageCache } from "../plan/cache.ts";
import { clean } from "./clean.ts";

let root: string;
beforeEach(async () => {
	root = await mkdtemp(path.join(tmpdir(), "slipway-clean-"));
});
afterEach(() => rm(root, { recursive: true }));

test("nothing is removed while a build is at work, which may read it", async () => {
	const stages = path.join(root, ".cache", "stages");
	await mkdir(path.join(stages, "old"), { recursive: true });
	const context = { root, json: false, signal: new AbortController().signal, print: () => undefined };
	const build = await new StageCache(path.join(root, ".cache")).openWork("x");
	for (const all of [true, false]) await expect(clean(context, { all })).rejects.toMatchObject({ code: "E_BUSY" });
	expect(await readdir(stages)).toEqual(["old"]);
	await build.close();
	await clean(context, {});
	expect(await readdir(stages)).toEqual([]);
});
