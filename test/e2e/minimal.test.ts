import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { MatrixReport } from "../../builder/boot/matrix-report.ts";
import { clean } from "../../builder/boot/serial.ts";
import { run } from "../../builder/tools/run.ts";

/** The least that boots: a test that only needs a real box to become ready takes this one. Needs root, the package archive and QEMU. */

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

test("minimal-amd64 becomes ready on a root image that dm-verity checks", async () => {
	const built = JSON.parse(await slipway("build", "minimal-amd64", "--base", "debian-13", "--json")) as {
		folder: string;
	};
	const [report] = JSON.parse(
		await slipway("boot", "minimal-amd64", "--base", "debian-13", "--matrix", "--json", "--only", "bios/cd"),
	) as [MatrixReport];
	const row = report.rows.find((one) => one.firmware === "bios" && one.media === "cd")!;
	expect(row).toMatchObject({
		result: "passed",
		failed: [],
		checks: expect.arrayContaining(["console", "secure boot"]),
	});
	const console = clean(await readFile(join(built.folder, row.serialLog!), "latin1"));
	// The agent says so only of a mapping that has the kernel line's root hash, is undamaged, and would stop the machine.
	expect(console).toMatch(/^Started: +Secure Boot off, root image integrity-checked$/m);
	expect(console).not.toMatch(/slipway: state=(failed|degraded)/);
});

async function slipway(...args: string[]): Promise<string> {
	return (await run(join(ROOT, "slipway"), args, { cwd: ROOT })).stdout;
}
