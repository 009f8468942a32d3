import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MEDIA_TYPE, OCI_LAYOUT, REF_NAME } from "../../../bundle/oci.ts";
import { putImage, putIndex } from "../../../test/support/bundles.ts";
import { contextFor, definitionIn, firstPack, folderWith } from "../../../test/support/packs.ts";
import { run } from "../../tools/run.ts";
import { buildOciLayout } from "./oci-layout.ts";

type Blob = Awaited<ReturnType<typeof putImage>>;

/** A layout with one multi-arch index, an SBOM that refers to it, and one that refers to that. */
async function makeLayout(name: string | undefined = "example.com/team/app:2.0") {
	const folder = await folderWith();
	const layout = join(folder, "layout");
	const blobs = join(layout, "blobs");
	const amd64 = await putImage(blobs, { seed: "amd64" });
	const arm64 = await putImage(blobs, { seed: "arm64", architecture: "arm64" });
	const index = await putIndex(blobs, [
		{ arch: "amd64", image: amd64 },
		{ arch: "arm64", image: arm64 },
	]);
	const sbom = await putImage(blobs, { seed: "sbom", subject: index });
	const signature = await putImage(blobs, { seed: "signature", subject: sbom });
	const other = await putImage(blobs, { seed: "other" });
	const named = (blob: Blob, ref?: string) =>
		ref === undefined ? blob : { ...blob, annotations: { [REF_NAME]: ref } };
	const manifests = [named(index, name), signature, sbom, ...(name === undefined ? [] : [other])];
	await writeFile(
		join(layout, "index.json"),
		JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }),
	);
	await writeFile(join(layout, "oci-layout"), OCI_LAYOUT);
	return { folder, layout, index, amd64, arm64, sbom, signature };
}

const blobOf = (layout: string, { digest }: Blob) => join(layout, "blobs", ...digest.split(":"));

async function build(folder: string, yaml: string) {
	const bundle = await definitionIn(folder, yaml);
	const context = await contextFor(bundle);
	return { context, result: () => buildOciLayout(firstPack(bundle, "oci-layout"), context) };
}

test.each(["folder", "tar"])("a %s: bytes and referrers are kept, absent children listed", async (kind) => {
	const { folder, layout, index, arm64, sbom, signature } = await makeLayout();
	await rm(blobOf(layout, arm64));
	if (kind === "tar") await run("tar", ["-C", layout, "-cf", join(folder, "layout.tar"), "."]);
	const { context, result } = await build(
		folder,
		`- { name: app, source: oci-layout, path: ${kind === "tar" ? "layout.tar" : "layout"} }`,
	);
	const { names, fips } = (await result()).pack;
	expect(fips).toBe(false);
	expect(names).toEqual([
		{ ...named("example.com/team/app:2.0", index), platforms: ["linux/amd64"], absent: [arm64.digest] },
		named(`example.com/team/app@${sbom.digest}`, sbom),
		named(`example.com/team/app@${signature.digest}`, signature),
	]);
	expect(await context.blobs.read(index.digest)).toEqual(await readFile(blobOf(layout, index)));
});

function named(ref: string, { digest, mediaType, size }: Blob) {
	return { ref, digest, mediaType, size, platforms: [], absent: [] };
}

test("names can be given; one that the layout does not have is an error that says what it has", async () => {
	const { folder } = await makeLayout("2.0");
	const yaml = (more: string) => `- { name: app, source: oci-layout, path: layout, ${more} }`;
	const ok = await build(folder, yaml('names: { "2.0": example.com/renamed/app:3 }'));
	expect((await ok.result()).pack.names[0]!.ref).toBe("example.com/renamed/app:3");
	const missing = await build(folder, yaml('names: { "2.1": example.com/renamed/app:3 }'));
	await expect(missing.result()).rejects.toMatchObject({
		code: "E_PACK",
		message: expect.stringContaining("it has 2.0"),
	});
	const short = await build(folder, yaml("licence: MIT"));
	await expect(short.result()).rejects.toMatchObject({ code: "E_PACK", message: expect.stringContaining("full name") });
});

test.each(["folder", "tar"])("a %s with one flipped byte is refused, and the bad blob is not kept", async (kind) => {
	const { folder, layout, amd64 } = await makeLayout();
	const file = blobOf(layout, amd64);
	const bytes = await readFile(file);
	bytes[10]! ^= 1;
	await writeFile(file, bytes);
	if (kind === "tar") await run("tar", ["-C", layout, "-cf", join(folder, "layout.tar"), "."]);
	const { context, result } = await build(
		folder,
		`- { name: app, source: oci-layout, path: ${kind === "tar" ? "layout.tar" : "layout"} }`,
	);
	await expect(result()).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	expect(await context.blobs.has(amd64)).toBe(false);
});

test("what is no layout is told so", async () => {
	const folder = await folderWith({
		"layout/oci-layout": "{}",
		"layout/index.json": "{}",
		"text.tar": "no tar at all",
	});
	for (const path of ["layout", "text.tar"]) {
		const { result } = await build(folder, `- { name: app, source: oci-layout, path: ${path} }`);
		await expect(result()).rejects.toMatchObject({ code: "E_PACK" });
	}
});
