import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Build } from "../plan/build.ts";
import { codeOf } from "./code.ts";
import { STAGES } from "./index.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const build = { root: ROOT, bundles: [], profile: { overlays: [] } } as unknown as Build;
const sourcesOf = (name: string) => STAGES.find((stage) => stage.name === name)!.sources(build);

test("code counts with all that it imports, over more than one step; types and messages do not", () => {
	const code = codeOf(join(ROOT, "builder/stages/overlay.ts")).map((file) => file.slice(ROOT.length + 1));
	expect(code).toEqual(
		expect.arrayContaining(["builder/stages/overlay.ts", "builder/stages/tree-tar.ts", "builder/oci/layer.ts"]),
	);
	expect(code).not.toContain("builder/plan/stage.ts");
	expect(code).not.toContain("bundle/errors.ts");
});

test("the space that is asked for grows with the local files of the bundles", async () => {
	const dir = await mkdtemp(join(tmpdir(), "slipway-space-"));
	onTestFinished(() => rm(dir, { recursive: true, force: true }));
	await mkdir(join(dir, "charts/sub"), { recursive: true });
	await writeFile(join(dir, "charts/sub/big"), "");
	await truncate(join(dir, "charts/sub/big"), 5e9);
	const bundle = { file: join(dir, "b.yaml"), packs: [{ name: "c", source: "files", path: "charts" }] };
	const big = { ...build, bundles: [bundle] } as unknown as Build;
	const more = (name: string) => {
		const stage = STAGES.find((one) => one.name === name)!;
		return stage.space(big) - stage.space(build);
	};
	expect(more("content")).toBeGreaterThanOrEqual(10e9);
	expect(more("iso")).toBeGreaterThanOrEqual(5e9);
});

test.each([
	["workshop", "builder/archive/sources.ts", "builder/tools/mmdebstrap.ts"],
	["bootstrap", "builder/archive/sources.ts", "builder/tools/mmdebstrap.ts", "builder/archive/pro-hook.sh"],
	["bootstrap", "builder/stages/foreign-hook.sh", "builder/tools/workshop.ts", "builder/tools/chroot.sh"],
	["initrd", "builder/stages/dracut.ts", "builder/stages/foreign-ldd.sh", "builder/tools/workshop.ts"],
	["overlay", "builder/oci/file-tree.ts", "builder/stages/overlay-manifest.ts"],
	["agent", "builder/oci/layer.ts", "tsconfig.json", "agent"],
	["initrd", "builder/tools/tar.ts", "builder/tools/chroot.sh"],
	["root", "builder/tools/tar.ts", "builder/tools/mksquashfs.ts"],
	["content", "builder/archive/answer.ts", "builder/tools/mmdebstrap.ts", "builder/archive/pro-hook.sh"],
	["boot", "builder/tools/grub.ts", "builder/tools/chroot.sh"],
	["iso", "bundle/release.ts", "bundle/dsse.ts"],
	["attest", "bundle/signature-file.ts", "builder/release/names.ts", "builder/release/verify.sh"],
])("the id of stage %s covers the code that makes its output", (name, ...files) => {
	const sources = sourcesOf(name);
	expect(sources).toEqual(expect.arrayContaining(files.map((file) => join(ROOT, file))));
	for (const file of sources) if (file.endsWith(".ts")) expect(sources).toEqual(expect.arrayContaining(codeOf(file)));
});
