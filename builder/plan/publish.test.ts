import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { publish } from "./publish.ts";

let root: string;
const never = new AbortController().signal;
beforeEach(async () => {
	root = await mkdtemp(path.join(tmpdir(), "slipway-publish-"));
	await mkdir(path.join(root, "out"));
	await writeFile(path.join(root, "out", "x.iso"), "iso");
	await writeFile(path.join(root, "out", "x.iso.sig.bin"), "signature");
});
afterEach(() => rm(root, { recursive: true }));

const from = () => path.join(root, "out");
const to = () => path.join(root, "dist", "x");

test("the folder holds the files themselves, and a repeat leaves it and what stands beside them alone", async () => {
	await publish(from(), to(), never);
	expect((await stat(path.join(to(), "x.iso"))).ino).toBe((await stat(path.join(from(), "x.iso"))).ino);
	await writeFile(path.join(to(), "x.boot-report.json"), "{}");
	const before = await stat(to());
	await publish(from(), to(), never);
	expect((await stat(to())).ino).toBe(before.ino);
	expect(await readdir(to())).toContain("x.boot-report.json");
});

test("other files replace the whole folder, and leftovers of a killed build are swept", async () => {
	await publish(from(), to(), never);
	await writeFile(path.join(to(), "x.boot-report.json"), "about the old ISO");
	await mkdir(path.join(root, "dist", ".new-x"));
	await writeFile(path.join(root, "dist", ".new-x", "x.iso"), "half");
	await rm(path.join(from(), "x.iso"));
	await writeFile(path.join(from(), "x.iso"), "another iso");
	await publish(from(), to(), never);
	expect(await readFile(path.join(to(), "x.iso"), "utf8")).toBe("another iso");
	expect(await readdir(to())).toEqual(["x.iso", "x.iso.sig.bin"]);
	expect(await readdir(path.join(root, "dist"))).toEqual(["x"]);
});

test("a file that was damaged or removed in dist comes back", async () => {
	await publish(from(), to(), never);
	await rm(path.join(to(), "x.iso.sig.bin"));
	await publish(from(), to(), never);
	expect(await readFile(path.join(to(), "x.iso.sig.bin"), "utf8")).toBe("signature");
});
