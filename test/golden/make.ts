import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BundleInput, writeBundle } from "../../bundle/writer.ts";
import { inputOf, nameOf, packOf, putBlob, putImage, putIndex, putJson, testSigner } from "../support/bundles.ts";

/**
 * The golden bundle of format 1, the worked example of docs/bundle-format.md. The files beside this one must never change:
 * a reader of format 1 has to take them for ever, and the writer has to make the same bytes again. Running this file makes
 * a new set, with a new key, which is right only for a new format number.
 */
export const GOLDEN = import.meta.dirname;

/** Input of the golden bundle; its blobs are put into `blobDir`. */
export async function goldenInput(blobDir: string): Promise<BundleInput> {
	const amd64 = await putImage(blobDir, { seed: "golden amd64", layers: [700] });
	const arm64 = { mediaType: amd64.mediaType, digest: `sha256:${"a".repeat(64)}`, size: 512 };
	const multi = await putIndex(blobDir, [
		{ arch: "amd64", image: amd64 },
		{ arch: "arm64", image: arm64 },
	]);
	const long = await putImage(blobDir, {
		seed: "golden sha512",
		layers: [2000],
		compressible: true,
		algorithm: "sha512",
	});
	const sbom = await putJson(blobDir, { bomFormat: "CycloneDX" }, "application/vnd.cyclonedx+json");
	const empty = await putBlob(blobDir, Buffer.from("{}"), "application/vnd.oci.empty.v1+json");
	const referrer = await putJson(
		blobDir,
		{
			schemaVersion: 2,
			mediaType: amd64.mediaType,
			artifactType: "application/vnd.cyclonedx+json",
			config: empty,
			layers: [sbom],
			subject: amd64,
		},
		amd64.mediaType,
	);
	const images = packOf("images", [
		nameOf("example.com/golden/multi:1.0", multi, [arm64.digest]),
		nameOf(`example.com/golden/multi@${referrer.digest}`, referrer),
	]);
	const extra = packOf("extra", [nameOf("example.com/golden/long:1.0", long)], { layer: "addon", fips: "n/a" });
	return inputOf(blobDir, [images, extra], {
		name: "golden",
		annotations: { "com.example.note": "worked example" },
		writer: { slipway: "0.1.0", zstd: "@mongodb-js/zstd 1.2.2, level 3" },
	});
}

async function main(): Promise<void> {
	const dir = await mkdtemp(join(tmpdir(), "slipway-golden-"));
	try {
		const signer = testSigner({ development: true });
		const input = await goldenInput(join(dir, "blobs"));
		await mkdir(GOLDEN, { recursive: true });
		const { index } = await writeBundle(input, join(GOLDEN, "golden.zst"), signer);
		await writeFile(join(GOLDEN, "golden.index"), JSON.stringify(index));
		await writeFile(join(GOLDEN, "public_key.pem"), signer.publicKeyPem);
		await writeFile(
			join(GOLDEN, "signatures.json"),
			`${JSON.stringify(Object.fromEntries(signer.used()), null, "\t")}\n`,
		);
	} finally {
		await rm(dir, { recursive: true });
	}
}

if (import.meta.main) await main();
