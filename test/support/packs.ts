import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { BlobFolder } from "../../builder/oci/blob-folder.ts";
import type { PackContext } from "../../builder/packs/context.ts";
import { type BundleDefinition, loadBundleDefinition, type PackOf } from "../../builder/packs/definition.ts";
import { Lock } from "../../builder/packs/lock.ts";
import type { Base } from "../../builder/profile/schema.ts";
import { run } from "../../builder/tools/run.ts";
import { tempDir } from "./temp.ts";

export const projectRoot: string = resolve(import.meta.dirname, "../..");

/** A new folder with these files (path → content), removed when the test file has ended. */
export async function folderWith(files: Readonly<Record<string, string | Uint8Array>> = {}): Promise<string> {
	const folder = await tempDir();
	for (const [name, content] of Object.entries(files)) {
		await mkdir(dirname(join(folder, name)), { recursive: true });
		await writeFile(join(folder, name), content);
	}
	return folder;
}

/** Text of a bundle definition named `test` with these packs, given as lines of YAML. */
export function definitionYaml(packs: string): string {
	const head = "apiVersion: slipway/v1\nkind: Bundle\nname: test\nversion: 1.0.0\nsequence: 1\npacks:\n";
	return head + packs.replace(/^/gm, "  ");
}

/** A loaded definition `test.yaml` in `folder`. */
export async function definitionIn(folder: string, packs: string): Promise<BundleDefinition> {
	await writeFile(join(folder, "test.yaml"), definitionYaml(packs));
	return await loadBundleDefinition(projectRoot, join(folder, "test.yaml"));
}

/** A context for the first pack of a definition; blobs and scratch space in new folders. */
export async function contextFor(bundle: BundleDefinition, extra: Partial<PackContext> = {}): Promise<PackContext> {
	const scratch = await folderWith();
	return {
		bundle,
		folder: dirname(bundle.file),
		arch: "amd64",
		fips: false,
		base: { name: "test", title: "Test base", distribution: "debian", suite: "test" } as Base,
		epoch: 1_700_000_000,
		blobs: new BlobFolder(join(scratch, "blobs")),
		cacheDir: join(scratch, "cache"),
		work: scratch,
		run,
		packageSet: undefined,
		lock: await Lock.open(bundle.file, false),
		registry: { authFile: undefined, caFile: undefined, secrets: [] },
		built: new Map(),
		...extra,
	};
}

export function firstPack<S extends BundleDefinition["packs"][number]["source"]>(
	bundle: BundleDefinition,
	source: S,
): PackOf<S> {
	const pack = bundle.packs[0]!;
	if (pack.source !== source) throw new TypeError(`the first pack has source ${pack.source}`);
	return pack as PackOf<S>;
}
