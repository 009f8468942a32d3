import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

/**
 * `node engine-process.fixture.ts FOLDER [N]`: the small build as a process of its own, which kills itself with SIGKILL at its
 * N-th call to the file system. Without N it prints the calls.
 */
const [folder, killAt] = process.argv.slice(2);
const calls: string[] = [];
const promises = fs.promises as unknown as Record<string, (...args: unknown[]) => unknown>;
for (const name of ["mkdir", "open", "readdir", "rename", "rm", "symlink", "writeFile"]) {
	const original = promises[name] as (...args: unknown[]) => unknown;
	promises[name] = (...args) => {
		calls.push(name);
		if (calls.length === Number(killAt)) process.kill(process.pid, "SIGKILL");
		return original.apply(promises, args);
	};
}
syncBuiltinESMExports();

// Imported after the change, so that the engine calls the functions above.
const { runTest, testBuild, testStages } = await import("./engine.fixture.ts");
const { planBuild } = await import("./plan.ts");
await runTest(await planBuild(testBuild(folder as string), testStages(killAt === undefined ? 4 : 0)));
if (killAt === undefined) process.stdout.write(calls.join("\n"));
