import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SourceHasher } from "./sources.ts";

let root: string;
beforeEach(async () => {
	root = await mkdtemp(path.join(tmpdir(), "slipway-sources-"));
});
afterEach(() => rm(root, { recursive: true }));

test("what is shipped counts whatever its name; beside code, tests and leftovers of editors do not", async () => {
	const names = ["a", "a.test.ts", "a~", ".a.swp"];
	for (const folder of ["overlays/x/files", "builder/stages"]) {
		await mkdir(path.join(root, folder), { recursive: true });
		for (const name of names) await writeFile(path.join(root, folder, name), name);
	}
	const hasher = new SourceHasher(root, path.join(root, ".cache"));
	const found = async (folder: string) => Object.keys(await hasher.digests([path.join(root, folder)]));
	expect(await found("overlays/x")).toEqual([...names].sort().map((name) => `overlays/x/files/${name}`));
	expect(await found("builder/stages")).toEqual(["builder/stages/a"]);
	expect(await found("builder")).toEqual(["builder/stages/a"]);
});

test("a blob of an OCI layout counts by its name, which is its digest; beside a layout, bytes count", async () => {
	const hex = "ab".repeat(32);
	for (const [folder, isLayout] of [
		["layout", true],
		["other", false],
	] as const) {
		const blobs = path.join(root, folder, "blobs/sha256");
		await mkdir(blobs, { recursive: true });
		if (isLayout) await writeFile(path.join(root, folder, "oci-layout"), "{}");
		const digests = () => new SourceHasher(root, path.join(root, ".cache")).digests([path.join(root, folder)]);
		await writeFile(path.join(blobs, hex), "one");
		const before = await digests();
		await writeFile(path.join(blobs, hex), "two");
		expect(JSON.stringify(await digests()) === JSON.stringify(before)).toBe(isLayout);
		await writeFile(path.join(blobs, hex), "longer");
		expect(await digests()).not.toEqual(before);
	}
});
