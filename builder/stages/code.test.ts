import { join } from "node:path";
import { expect, test } from "vitest";
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

test.each([
	["bootstrap", "builder/archive/sources.ts", "builder/tools/mmdebstrap.ts", "builder/stages/pro-hook.sh"],
	["overlay", "builder/oci/file-tree.ts", "builder/stages/overlay-manifest.ts"],
	["agent", "builder/oci/layer.ts", "tsconfig.json", "agent"],
	["initrd", "builder/tools/tar.ts", "builder/tools/chroot.sh"],
	["root", "builder/tools/tar.ts", "builder/tools/mksquashfs.ts"],
	["content", "builder/archive/resolve.ts", "builder/tools/mmdebstrap.ts", "builder/stages/pro-hook.sh"],
	["boot", "builder/tools/grub.ts", "builder/tools/chroot.sh"],
	["iso", "bundle/release.ts", "bundle/dsse.ts"],
	["attest", "bundle/signature-file.ts", "builder/release/names.ts", "builder/release/verify.sh"],
])("the id of stage %s covers the code that makes its output", (name, ...files) => {
	const sources = sourcesOf(name);
	expect(sources).toEqual(expect.arrayContaining(files.map((file) => join(ROOT, file))));
	for (const file of sources) if (file.endsWith(".ts")) expect(sources).toEqual(expect.arrayContaining(codeOf(file)));
});
