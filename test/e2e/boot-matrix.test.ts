import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { MatrixReport } from "../../builder/boot/matrix-report.ts";
import { run } from "../../builder/tools/run.ts";

/**
 * Real rows of the boot matrix: with the boots of iso.test.ts a pair-wise cover of firmware, medium, architecture and FIPS, as
 * docs/testing.md has it. Needs root, the package archive and QEMU.
 */

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const BASE = "debian-13";

test("the FIPS appliance starts by BIOS and by UEFI without keys from CD, and the matrix tells it in three forms", async () => {
	const [profile, rows] = ["vertex-fips-amd64", ["bios/cd", "uefi/cd"]];
	const built = JSON.parse(await slipway("build", profile, "--base", BASE, "--json")) as {
		folder: string;
		name: string;
	};
	const text = await slipway("boot", profile, "--base", BASE, "--matrix", "--json", "--only", ...rows);
	const [report] = JSON.parse(text) as [MatrixReport];
	const file = (kind: string) => readFile(join(built.folder, `${built.name}.boot-matrix.${kind}`), "utf8");
	expect(JSON.parse(await file("json"))).toEqual(report);
	expect(report).toMatchObject({ ok: true, iso: { file: `${built.name}.iso` }, profile });
	expect(report.rows).toHaveLength(6);
	for (const row of report.rows.filter((one) => rows.includes(`${one.firmware}/${one.media}`))) {
		expect(row).toMatchObject({ result: "passed", failed: [] });
		// No keys are enrolled in these machines.
		expect(row.secureBoot ?? false).toBe(false);
		expect(row.checks).toEqual(expect.arrayContaining(["build id", "root id", "blobs", "nginx -v"]));
		expect((await stat(join(built.folder, row.serialLog!))).size).toBeGreaterThan(0);
	}
	const passed = report.rows.filter((row) => row.result === "passed").length;
	expect(passed).toBeGreaterThanOrEqual(rows.length);
	expect(await file("junit.xml")).toContain(`tests="6" failures="0" errors="0" skipped="${6 - passed}"`);
	expect((await file("md")).match(/\| ok \|/g)).toHaveLength(passed);
});

async function slipway(...args: string[]): Promise<string> {
	return (await run(join(ROOT, "slipway"), args, { cwd: ROOT })).stdout;
}
