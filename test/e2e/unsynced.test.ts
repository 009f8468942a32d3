import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { run } from "../../builder/tools/run.ts";
import { unsynced } from "../../builder/tools/unsynced.ts";
import { tempDir } from "../support/temp.ts";

const SAY = ["-c", 'findmnt -no FSTYPE,OPTIONS -T "$TMPDIR"; echo kept >"$TMPDIR/file"'];

test("a program's scratch folder is flushed to no disk, and its mount is nobody else's", async () => {
	const work = join(await tempDir(), "a,b:c");
	const scratch = await unsynced(run, work);
	const { stdout } = await scratch("sh", SAY);
	expect(stdout).toMatch(/^overlay .*\bvolatile\b/);
	expect(await readFile(join(work, "upper/file"), "utf8")).toBe("kept\n");
	expect((await run("findmnt", ["-n", join(work, "root")], { accept: [1] })).stdout).toBe("");
	await expect(scratch("false", [])).rejects.toMatchObject({ code: "E_TOOL_FAILED" });
});

test("where the kernel has no such mount, the program runs in a common folder, and that is told", async () => {
	const dir = await tempDir();
	const outer = await unsynced(run, join(dir, "outer"));
	// An overlay cannot lie on another one's upper folder as seen through it.
	const inner = await unsynced(outer, join(dir, "outer/root/inner"));
	const { stdout, stderr } = await inner("sh", SAY);
	expect(stderr).toContain("Here the disk is flushed all the while");
	expect(stdout).toMatch(/^overlay /); // the outer one's, as its TMPDIR is
	expect(await readFile(join(dir, "outer/upper/file"), "utf8")).toBe("kept\n");
});
