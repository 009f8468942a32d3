import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { folderWith } from "../../test/support/packs.ts";
import { run } from "../tools/run.ts";
import { pinEnv, pinLines, pinsHook } from "./pins.ts";

const A = "a".repeat(64);
const file = (sha256: string) => ({ arch: "amd64", size: 1, sha256, path: "pool/x.deb" });
const lines = pinLines({
	inRelease: [],
	packages: { zlib1g: "1:1.3.dfsg+really1", bash: "5.2" },
	boot: { shim: "1.5" },
	files: { zlib1g: file(A), bash: file(A) },
	resolvedAt: "",
});

/** Runs the hook of the moment as mmdebstrap does, with an `apt-cache` that prints `index`. */
async function hook(moment: string, root: string, index = "") {
	const bin = join(root, "../bin");
	await mkdir(bin, { recursive: true });
	await writeFile(join(bin, "index"), index);
	await writeFile(join(bin, "apt-cache"), `#!/bin/sh\ncat ${bin}/index\nexit 100\n`, { mode: 0o755 });
	const env = { ...pinEnv(lines), MMDEBSTRAP_HOOK: moment, MMDEBSTRAP_APT_CONFIG: "", PATH: `${bin}:/usr/bin:/bin` };
	return await run(pinsHook, [root], { env, accept: [0, 1] });
}

const stanza = (name: string, version: string, sha256: string) =>
	`Package: ${name}\nVersion: ${version}\nSHA256: ${sha256}\n\n`;
const whole =
	stanza("bash", "5.2", A) + stanza("shim", "1.5", "b".repeat(64)) + stanza("zlib1g", "1:1.3.dfsg+really1", A);

test("apt is told the versions before it chooses, and free again when they were checked", async () => {
	const root = join(await folderWith({ "root/x": "" }), "root");
	const preferences = join(root, "etc/apt/preferences.d/slipway");
	await hook("setup", root);
	expect(await readFile(preferences, "utf8")).toContain(
		"Package: zlib1g\nPin: version 1:1.3.dfsg+really1\nPin-Priority: 1001\n",
	);
	expect(await hook("extract", root, whole)).toMatchObject({ exitCode: 0, stderr: "" });
	await expect(readFile(preferences)).rejects.toMatchObject({ code: "ENOENT" });
});

test.each([
	["another digest", whole.replace(A, "c".repeat(64)), `changed: bash=5.2 ${A}`],
	["another version", whole.replace("5.2", "5.3"), `changed: bash=5.2 ${A}`],
	["a package that is not there", whole.replace(/Package: shim[\s\S]*?\n\n/, ""), "changed: shim=1.5"],
	["nothing at all", "", `changed: bash=5.2 ${A}\nchanged: shim=1.5\nchanged: zlib1g=1:1.3.dfsg+really1 ${A}`],
])("an archive with %s stops the installation and names the packages", async (_, index, told) => {
	const root = join(await folderWith({ "root/x": "" }), "root");
	await hook("setup", root);
	expect(await hook("extract", root, index)).toMatchObject({ exitCode: 1, stderr: told });
});
