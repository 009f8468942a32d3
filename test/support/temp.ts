import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

const made: string[] = [];

/** A new folder that is removed when the test file has ended. */
export async function tempDir(): Promise<string> {
	const dir = await mkdtemp(join(tmpdir(), "slipway-test-"));
	made.push(dir);
	return dir;
}

afterAll(async () => {
	for (const dir of made) await rm(dir, { recursive: true, force: true });
});
