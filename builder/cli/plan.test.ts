import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { folderWith } from "../../test/support/packs.ts";
import type { Build } from "../plan/build.ts";
import type { Checked } from "../plan/prepare.ts";
import { notes } from "./plan.ts";

test("a build that does not heed the lock beside its profile says so", async () => {
	const file = join(await folderWith(), "p.yaml");
	const checked = { file, profile: { fips: false }, base: { fips: null }, proPackages: [] } as unknown as Checked;
	const resolve = { inRelease: [], resolvedAt: "2026-01-01T00:00:00.000Z" };
	const told = (lock?: string) => notes(checked, { resolve, signer: {}, lock } as unknown as Build).join("\n");
	expect(told()).not.toContain("lock");
	await writeFile(join(file, "../p.lock.yaml"), "");
	expect(told()).toMatch(/^Packages as resolved .*\nThis build takes no packages from \S*p\.lock\.yaml\.$/);
	expect(told(join(file, "../p.lock.yaml"))).toMatch(/^Packages as locked in \S*p\.lock\.yaml [^\n]*$/);
});
