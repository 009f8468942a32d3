import { cp, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../builder/tools/run.ts";

/** What a clone of the working tree at `root` holds, and the installed tools; neither cache nor keys. */
export async function copyProject(root: string, to: string): Promise<void> {
	const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
	const { stdout } = await run("git", ["-c", `safe.directory=${root}`, "-C", root, ...list]);
	await mkdir(to);
	for (const file of stdout.split("\0").filter((name) => name !== "" && name !== ".tools"))
		await cp(join(root, file), join(to, file)).catch(ifMissing);
	await symlink(join(root, ".tools"), join(to, ".tools"));
	await cp(join(root, "node_modules"), join(to, "node_modules"), { recursive: true, verbatimSymlinks: true });
}

/** A file that was deleted and is not committed yet. */
function ifMissing(error: NodeJS.ErrnoException): void {
	if (error.code !== "ENOENT") throw error;
}
