import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { GOLDEN, goldenInput } from "../test/golden/make.ts";
import { readBundle } from "../test/independent-reader.ts";
import {
	inputOf,
	nameOf,
	packOf,
	putBlob,
	putImage,
	putIndex,
	putJson,
	testSigner,
	trustOf,
} from "../test/support/bundles.ts";
import { blobFile } from "./contents.ts";
import type { EnvelopeSigner } from "./dsse.ts";
import { rawFrame } from "./frames.ts";
import { loadPublicKey } from "./keys.ts";
import { MEDIA_TYPE } from "./oci.ts";
import { openBundle, readFrame } from "./reader.ts";
import { SLOT } from "./slots.ts";
import { loadTrust } from "./trust.ts";
import { verifyBundle } from "./verify.ts";
import { type BundleInput, writeBundle } from "./writer.ts";

let dir: string;
let blobDir: string;
const signer = testSigner();
beforeEach(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-writer-"));
	blobDir = join(dir, "blobs");
	await mkdir(join(dir, "out"));
});
afterEach(() => rm(dir, { recursive: true }));

const out = () => join(dir, "out", "x.zst");
const write = (input: BundleInput) => writeBundle(input, out(), signer);
const outFiles = async () => (await readdir(join(dir, "out"))).sort();

describe("the golden bundle", () => {
	/** Hands out the signatures that were made once; there is no private key any more. */
	async function recorded(): Promise<EnvelopeSigner> {
		const signatures = JSON.parse(await readFile(join(GOLDEN, "signatures.json"), "utf8")) as Record<string, string>;
		const { keyId } = loadPublicKey(await readFile(join(GOLDEN, "public_key.pem"), "utf8"));
		return {
			keyId,
			sign: async (digest) => Buffer.from(signatures[digest] ?? expect.fail(`no signature of ${digest}`), "base64"),
		};
	}

	test("is written again byte for byte", async () => {
		const { indexDigest } = await writeBundle(await goldenInput(blobDir), out(), await recorded());
		for (const [made, golden] of [
			["x.zst", "golden.zst"],
			["x.sig.bin", "golden.sig.bin"],
		] as const) {
			expect(await readFile(join(dir, "out", made))).toEqual(await readFile(join(GOLDEN, golden)));
		}
		const bundle = await openBundle(join(GOLDEN, "golden.zst"));
		expect(bundle.payload.toString()).toBe(await readFile(join(GOLDEN, "golden.index"), "utf8"));
		expect(bundle.indexDigest).toBe(indexDigest);
		await bundle.close();
	});

	test("verifies, with both readers, and calls itself a development build", async () => {
		const result = await verifyBundle(join(GOLDEN, "golden.zst"), await loadTrust(join(GOLDEN, "public_key.pem")));
		expect(result.development).toBe(true);
		const independent = readBundle(join(GOLDEN, "golden.zst"), await readFile(join(GOLDEN, "public_key.pem"), "utf8"));
		expect(independent.index).toEqual(result.index);
	});

	test("is the one that the page describes", async () => {
		const page = await readFile(join(import.meta.dirname, "../docs/bundle-format.md"), "utf8");
		const bytes = await readFile(join(GOLDEN, "golden.zst"));
		expect(page).toContain(`(${bytes.length.toLocaleString("en")} bytes)`);
		const lines = [...page.matchAll(/^ {4}(\d{5}) {2}((?:[0-9A-F]{2} {1,2})+(?:[0-9A-F]{2})?)/gm)];
		expect(lines.length).toBeGreaterThan(15);
		for (const [, offset, hex] of lines) {
			const expected = hex!.replaceAll(" ", "").toLowerCase();
			expect(bytes.toString("hex", Number(offset), Number(offset) + expected.length / 2), `byte ${offset}`).toBe(
				expected,
			);
		}
	});
});

describe("what is written", () => {
	test("the same input gives the same bytes, whatever else the blob folder holds and in whatever order names come", async () => {
		const names = [];
		for (const tag of ["b", "a", "c"])
			names.push(nameOf(`a.example/x:${tag}`, await putImage(blobDir, { seed: tag, layers: [3 * SLOT, 10] })));
		await write(inputOf(blobDir, [packOf("p", names)]));
		const first = await readFile(out());
		const signature = await readFile(join(dir, "out", "x.sig.bin"));
		await putImage(blobDir, { seed: "something else" });
		const { index } = await write(inputOf(blobDir, [packOf("p", names)]));
		expect((await readFile(out())).equals(first)).toBe(true);
		expect(await readFile(join(dir, "out", "x.sig.bin"))).toEqual(signature);
		expect(index.names.map((n) => n.ref)).toEqual(["a.example/x:a", "a.example/x:b", "a.example/x:c"]);
		expect(await outFiles()).toEqual(["x.sig.bin", "x.zst"]);
	});

	test("a layer's frames depend on that layer alone", async () => {
		const image = await putImage(blobDir, { layers: [2 * SLOT] });
		const framesOf = async (extra: number) => {
			const other = await putImage(blobDir, { seed: `${extra}`, layers: [extra] });
			const names = [nameOf("a.example/a:1", other), nameOf("a.example/x:1", image)];
			const { index } = await write(inputOf(blobDir, [packOf("p", names)]));
			const digest = `sha256:${(await layerDigests(image.digest))[0]}`;
			const { frame } = index.blobs.find((b) => b.digest === digest)!;
			return index.frames.slice(frame, frame + 3);
		};
		expect(await framesOf(17)).toEqual(await framesOf(99_999));
	});

	async function layerDigests(manifest: string): Promise<string[]> {
		const { layers } = JSON.parse(await readFile(blobFile(blobDir, manifest), "utf8")) as {
			layers: { digest: string }[];
		};
		return layers.map((l) => l.digest.slice("sha256:".length));
	}

	test("what is compressed already is stored raw, by type or by its first frame; text shrinks", async () => {
		const noise = await putImage(blobDir, { seed: "gzip", layers: [2 * SLOT] });
		const text = await putImage(blobDir, { seed: "text", layers: [2 * SLOT], compressible: true });
		const hidden = await putBlob(
			blobDir,
			await readFile(blobFile(blobDir, `sha256:${(await layerDigests(noise.digest))[0]}`)),
			"x",
		);
		const untyped = await putJson(
			blobDir,
			{
				schemaVersion: 2,
				mediaType: MEDIA_TYPE.ociManifest,
				config: hidden,
				layers: [
					await putBlob(
						blobDir,
						Buffer.concat([await readFile(blobFile(blobDir, hidden.digest)), Buffer.from("x")]),
						"application/octet-stream",
					),
				],
			},
			MEDIA_TYPE.ociManifest,
		);
		const rawFramesOf = async (image: typeof noise) => {
			await write(inputOf(blobDir, [packOf("p", [nameOf("a.example/x:1", image)])]));
			await verifyBundle(out(), trustOf(signer));
			const bundle = await openBundle(out());
			const last = bundle.index.blobs.at(-1)!;
			const frames = bundle.index.frames.slice(last.frame, -1);
			const plain = await Promise.all(frames.map((_, i) => readFrame(bundle, last.frame + i)));
			await bundle.close();
			return plain.map((p, i) => rawFrame(p).length === frames[i]![0]);
		};
		expect(await rawFramesOf(noise)).toEqual([true, true, true]);
		expect(await rawFramesOf(untyped)).toEqual([true, true, true]);
		expect(await rawFramesOf(text)).toEqual([false, false, false]);
	});

	test("an index keeps its bytes; what is absent is listed, unless another name brings it", async () => {
		const amd64 = await putImage(blobDir, { seed: "amd64" });
		const arm64 = await putImage(blobDir, { seed: "arm64", architecture: "arm64" });
		const multi = await putIndex(blobDir, [
			{ arch: "amd64", image: amd64 },
			{ arch: "arm64", image: arm64 },
		]);
		const name = nameOf("a.example/x:1", multi, [arm64.digest]);
		const alone = await write(inputOf(blobDir, [packOf("p", [name])]));
		expect(alone.index.names[0]).toMatchObject({ platforms: ["linux/amd64"], absent: [arm64.digest] });
		expect(alone.index.blobs.some((b) => b.digest === arm64.digest)).toBe(false);
		await verifyBundle(out(), trustOf(signer));
		const both = await write(inputOf(blobDir, [packOf("p", [name]), packOf("q", [nameOf("a.example/arm:1", arm64)])]));
		expect(both.index.names[1]).toMatchObject({
			ref: "a.example/x:1",
			platforms: ["linux/amd64", "linux/arm64"],
			absent: [],
		});
		expect((await verifyBundle(out(), trustOf(signer))).index.names).toHaveLength(2);
		await expect(write(inputOf(blobDir, [packOf("p", [nameOf("a.example/x:1", multi)])]))).resolves.toBeDefined();
		await rm(blobFile(blobDir, arm64.digest));
		await expect(write(inputOf(blobDir, [packOf("p", [nameOf("a.example/x:1", multi)])]))).rejects.toMatchObject({
			code: "E_BLOB_MISSING",
		});
	});

	test("metadata comes first by digest, then layers in the order of the packs", async () => {
		const [one, two] = [
			await putImage(blobDir, { seed: "1", layers: [11, 12] }),
			await putImage(blobDir, { seed: "2", layers: [13] }),
		];
		const packs = [packOf("p", [nameOf("z.example/x:1", one)]), packOf("q", [nameOf("a.example/x:1", two)])];
		const { index } = await write(inputOf(blobDir, packs));
		expect(index.blobs.slice(4).map((b) => b.size)).toEqual([11, 12, 13]);
		const metadata = index.blobs.slice(0, 4).map((b) => b.digest);
		expect(metadata).toEqual([...metadata].sort());
		expect(index.packs.map((p) => p.names)).toEqual([["z.example/x:1"], ["a.example/x:1"]]);
	});

	test("metadata larger than a frame, and many small ones", async () => {
		const large = await putJson(blobDir, { text: "x".repeat(3 * SLOT) }, MEDIA_TYPE.ociConfig);
		const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: large, layers: [] };
		const names = [nameOf("a.example/large:1", await putJson(blobDir, manifest, MEDIA_TYPE.ociManifest))];
		for (let i = 0; i < 40; i++)
			names.push(nameOf(`a.example/x:${i}`, await putImage(blobDir, { seed: `${i}`, layers: [1] })));
		await write(inputOf(blobDir, [packOf("p", names)]));
		expect((await verifyBundle(out(), trustOf(signer))).index.names).toHaveLength(41);
		expect(readBundle(out(), signer.publicKeyPem).index.names).toHaveLength(41);
	});
});

describe("what is refused, with nothing left behind", () => {
	const refused = async (code: string, input: BundleInput, by: EnvelopeSigner = signer) => {
		await expect(writeBundle(input, out(), by)).rejects.toMatchObject({ code });
		expect(await outFiles()).toEqual([]);
	};

	test("one name with two digests", async () => {
		const [one, two] = [await putImage(blobDir, { seed: "1" }), await putImage(blobDir, { seed: "2" })];
		const packs = [packOf("p", [nameOf("a.example/x:1", one)]), packOf("q", [nameOf("a.example/x:1", two)])];
		await refused("E_NAME_CONFLICT", inputOf(blobDir, packs));
		const same = [packs[0]!, packOf("q", [nameOf("a.example/x:1", one)])];
		expect((await write(inputOf(blobDir, same))).index.names).toHaveLength(1);
	});

	test("a blob that is missing, cut off, or has other bytes of the same size", async () => {
		const image = await putImage(blobDir, { layers: [2 * SLOT + 5] });
		const input = inputOf(blobDir, [packOf("p", [nameOf("a.example/x:1", image)])]);
		const manifest = JSON.parse(await readFile(blobFile(blobDir, image.digest), "utf8")) as {
			layers: { digest: string }[];
		};
		const layer = blobFile(blobDir, manifest.layers[0]!.digest);
		const bytes = await readFile(layer);
		bytes[bytes.length - 1]! ^= 1;
		await writeFile(layer, bytes);
		await refused("E_DIGEST_MISMATCH", input);
		await writeFile(layer, bytes.subarray(1));
		await refused("E_DIGEST_MISMATCH", input);
		await rm(layer);
		await refused("E_BLOB_MISSING", input);
	});

	test("packs that do not fit the bundle, and fields that are not allowed", async () => {
		const names = [nameOf("a.example/x:1", await putImage(blobDir))];
		await refused("E_TARGET", inputOf(blobDir, [packOf("p", names, { arch: "arm64" })]));
		await refused("E_FIPS_MIX", inputOf(blobDir, [packOf("p", names)], { fips: true }));
		await refused("E_TEXT", inputOf(blobDir, [packOf("p", names)], { product: "naïve" }));
		await refused("E_INDEX", inputOf(blobDir, [packOf("p", names)], { sequence: 0 }));
	});

	test("a signer that fails, and an abort", async () => {
		const input = inputOf(blobDir, [packOf("p", [nameOf("a.example/x:1", await putImage(blobDir))])]);
		const failing = {
			keyId: signer.keyId,
			sign: () => Promise.reject(Object.assign(new Error("no key"), { code: "E_KEY_MISSING" })),
		};
		await refused("E_KEY_MISSING", input, failing);
		let calls = 0;
		const second: EnvelopeSigner = {
			keyId: signer.keyId,
			sign: (d, o) => (calls++ === 0 ? signer.sign(d, o) : failing.sign()),
		};
		await refused("E_KEY_MISSING", input, second);
		await refused("E_INTERRUPTED", { ...input, signal: AbortSignal.abort() });
	});

	test("an older bundle under the name stays until the new one is whole", async () => {
		const image = await putImage(blobDir, { layers: [100] });
		await write(inputOf(blobDir, [packOf("p", [nameOf("a.example/x:1", image)])]));
		const before = await readFile(out());
		const bad = inputOf(blobDir, [packOf("p", [nameOf("a.example/x:2", image)])], { sequence: 0 });
		await expect(write(bad)).rejects.toMatchObject({ code: "E_INDEX" });
		expect(await readFile(out())).toEqual(before);
		await verifyBundle(out(), trustOf(signer));
	});
});
