import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectRoot } from "../../builder/cli/command.ts";
import { run } from "../../builder/tools/run.ts";
import { unsynced } from "../../builder/tools/unsynced.ts";
import { tempDir } from "../support/temp.ts";

const SAY = 'findmnt -no FSTYPE,OPTIONS -T "$TMPDIR"; echo kept >"$TMPDIR/file"';

test("a program's scratch folder is flushed to no disk, and its mount is nobody else's", async () => {
	const dir = await tempDir();
	const work = join(dir, "a,b:c");
	const { stdout } = await unsynced(run, work)("sh", ["-c", SAY]);
	expect(stdout).toMatch(/^overlay .*\bvolatile\b/);
	expect(await readFile(join(work, "upper/file"), "utf8")).toBe("kept\n");
	expect((await run("findmnt", ["-n", join(work, "root")], { accept: [1] })).stdout).toBe("");
	// A failure tells of the program, and not of what it was started by.
	await expect(unsynced(run, join(dir, "b"))("false", [])).rejects.toMatchObject({
		...{ code: "E_TOOL_FAILED", message: expect.stringMatching(/^false failed/) },
	});
	await expect(unsynced(run, join(dir, "c"))("slipway-nobody", [])).rejects.toMatchObject({
		...{ code: "E_TOOL_MISSING", message: "The program slipway-nobody is not installed." },
	});
});

test("where the kernel has no such mount, the program runs in a common folder, and that is told", async () => {
	const outer = join(await tempDir(), "outer");
	// An overlay's own files are not to be another one's.
	const script = join(projectRoot, "builder/tools/unsynced.sh");
	const inside = 'inner=$TMPDIR/inner; mkdir "$inner"; TMPDIR=$inner/root exec "$1" "$inner" sh -c "$2"';
	const { stderr } = await unsynced(run, outer)("sh", ["-c", inside, "sh", script, SAY]);
	expect(stderr).toContain("Here the disk is flushed all the while");
	expect(await readFile(join(outer, "upper/inner/root/file"), "utf8")).toBe("kept\n");
	expect(await readFile(join(outer, "upper/inner/upper/file"), "utf8").catch(({ code }) => code)).toBe("ENOENT");
});
