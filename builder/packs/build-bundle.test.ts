import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { MEDIA_TYPE, OCI_LAYOUT, REF_NAME } from "../../bundle/oci.ts";
import { verifyBundle } from "../../bundle/verify.ts";
import { putImage, testSigner, trustOf } from "../../test/support/bundles.ts";
import { definitionIn, folderWith, projectRoot } from "../../test/support/packs.ts";
import type { Base } from "../profile/schema.ts";
import { run } from "../tools/run.ts";
import { type BundleRequest, buildBundle } from "./build-bundle.ts";
import type { BundleDefinition } from "./definition.ts";

const signer = testSigner();
const base = { name: "test", title: "Test base", arch: ["amd64"], fips: null } as unknown as Base;

function build(definition: BundleDefinition, extra: Partial<BundleRequest> = {}) {
	const folder = dirname(definition.file);
	const cached: boolean[] = [];
	const bundle = buildBundle({
		...{
			root: projectRoot,
			definition,
			base,
			arch: "amd64",
			fips: false,
			versionSuffix: "-dev.7",
			epoch: 1_790_000_000,
			signer,
		},
		...{
			cacheDir: join(folder, "cache"),
			outDir: join(folder, "out"),
			mirror: undefined,
			keyring: undefined,
			refresh: false,
		},
		registry: { authFile: undefined, caFile: undefined, secrets: [] },
		run,
		onPack: (_, was) => cached.push(was),
		...extra,
	});
	return bundle.then((made) => ({ ...made, cached }));
}

/** A layout with one image whose layer is too large to be read twice for nothing. */
async function withLayout() {
	const folder = await folderWith({ "data/one.txt": "1", "data/two.txt": "2" });
	const blobs = join(folder, "layout/blobs");
	const image = {
		...(await putImage(blobs, { layers: [5_000_000] })),
		annotations: { [REF_NAME]: "example.com/a/b:1" },
	};
	await writeFile(
		join(folder, "layout/index.json"),
		JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [image] }),
	);
	await writeFile(join(folder, "layout/oci-layout"), OCI_LAYOUT);
	const layer = JSON.parse(await readFile(join(blobs, ...image.digest.split(":")), "utf8")).layers[0].digest as string;
	const definition = await definitionIn(
		folder,
		"- { name: image, source: oci-layout, path: layout }\n- { name: data, source: files, path: data }",
	);
	return { folder, definition, layer: join(blobs, ...layer.split(":")) };
}

test("same inputs, same bundle; what did not change is not built again", async () => {
	const { folder, definition } = await withLayout();
	const first = await build(definition);
	expect(first.index).toMatchObject({
		name: "test",
		version: "1.0.0-dev.7",
		fips: false,
		created: "2026-09-21T14:13:20Z",
	});
	expect(first.index.packs.map(({ name, fips, arch }) => [name, fips, arch])).toEqual([
		["image", false, "amd64"],
		["data", "n/a", "any"],
	]);
	expect(first.cached).toEqual([false, false]);
	await verifyBundle(first.path, trustOf(signer));
	const second = await build(definition);
	expect(second.cached).toEqual([true, true]);
	expect(second.sha256).toBe(first.sha256);
	await writeFile(join(folder, "data/two.txt"), "changed");
	const third = await build(definition);
	expect(third.cached).toEqual([true, false]);
	expect(third.indexDigest).not.toBe(first.indexDigest);
});

test("a layer with one flipped byte is refused, nothing is written, and the cache heals when the layer is mended", async () => {
	const { folder, definition, layer } = await withLayout();
	const good = await readFile(layer);
	const bad = Buffer.from(good);
	bad[2_500_000]! ^= 1;
	await writeFile(layer, bad);
	await expect(build(definition)).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	expect(await readdir(join(folder, "out"))).toEqual([]);
	await replace(layer, good);
	const mended = await build(definition);
	await verifyBundle(mended.path, trustOf(signer));
	// Bytes that change under the cache later are met in the same way.
	await writeFile(layer, bad);
	await expect(build(definition)).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	await replace(layer, good);
	expect((await build(definition)).sha256).toBe(mended.sha256);
});

/** By another file of that name: the cache may hold a link to the one that was there. */
async function replace(file: string, bytes: Buffer): Promise<void> {
	await writeFile(`${file}.new`, bytes);
	await rename(`${file}.new`, file);
}

test("a FIPS bundle takes no content without FIPS; files have none", async () => {
	const { definition } = await withLayout();
	await expect(build(definition, { fips: true })).rejects.toMatchObject({
		code: "E_PACK",
		message: expect.stringContaining("image is not FIPS content"),
	});
	const files = await build({ ...definition, packs: [definition.packs[1]!] }, { fips: true });
	expect(files.index).toMatchObject({ fips: true, names: [{ ref: "slipway.local/test-fips/data:1.0.0" }] });
	expect(files.path).toMatch(/test-1\.0\.0-dev\.7-amd64-fips\.zst$/);
});

test("an architecture, or FIPS, that the base does not have", async () => {
	const folder = await folderWith();
	const definition = await definitionIn(
		folder,
		"- { name: web, source: packages, packages: [nginx], entrypoint: [/x] }",
	);
	await expect(build(definition, { arch: "arm64" })).rejects.toMatchObject({ code: "E_ARCH_BASE" });
	await expect(build(definition, { fips: true })).rejects.toMatchObject({ code: "E_FIPS_BASE" });
	// A mirror has no packages that only a token shows.
	const restricted = { ...base, fips: { proToken: true } } as unknown as Base;
	for (const mirror of [undefined, "http://mirror.test/"])
		await expect(build(definition, { fips: true, base: restricted, mirror })).rejects.toMatchObject({
			code: "E_PRO_TOKEN",
		});
});
