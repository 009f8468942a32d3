import { mkdir, mkdtemp, open, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "../../builder/tools/run.ts";
import { signatureName, verifyFile } from "../../bundle/signature-file.ts";
import { verifyBundle } from "../../bundle/verify.ts";
import { writeBundle } from "../../bundle/writer.ts";
import { GOLDEN } from "../golden/make.ts";
import { readBundle } from "../independent-reader.ts";
import { inputOf, nameOf, packOf, putImage, putIndex, putJson, testSigner, trustOf } from "../support/bundles.ts";

/** Bundles as programs see them that know nothing of Slipway: zstd, tar, openssl, skopeo, sha256sum. */
let dir: string;
const signer = testSigner();
const out = () => join(dir, "bundles", "judged-1.0.0-amd64.zst");
let names: { ref: string; digest: string }[];

beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-judges-"));
	const blobDir = join(dir, "blobs");
	const amd64 = await putImage(blobDir, { seed: "amd64", layers: [3_000_000, 0, 1] });
	const arm64 = await putImage(blobDir, { seed: "arm64", layers: [200], architecture: "arm64" });
	const multi = await putIndex(blobDir, [
		{ arch: "amd64", image: amd64 },
		{ arch: "arm64", image: arm64 },
	]);
	const text = await putImage(blobDir, { seed: "text", layers: [5_000_000], compressible: true });
	const long = await putImage(blobDir, { seed: "sha512", layers: [100], algorithm: "sha512" });
	const statement = await putJson(blobDir, { statement: "about the image" }, "application/json");
	const referrer = await putJson(
		blobDir,
		{ schemaVersion: 2, mediaType: amd64.mediaType, config: statement, layers: [statement], subject: amd64 },
		amd64.mediaType,
	);
	names = [
		nameOf("a.example/app/multi:1.0", multi),
		nameOf("a.example/app/text:1.0", text),
		nameOf("a.example/app/long:1.0", long),
		nameOf(`a.example/app/multi@${referrer.digest}`, referrer),
	];
	await mkdir(join(dir, "bundles"));
	await writeBundle(
		inputOf(blobDir, [packOf("p", names as ReturnType<typeof nameOf>[])], { name: "judged" }),
		out(),
		signer,
	);
	await writeFile(join(dir, "public_key.pem"), signer.publicKeyPem);
});
afterAll(() => rm(dir, { recursive: true }));

describe("a bundle is an ordinary file", () => {
	test("zstd tests it and lists its frames; plain decoding gives a tar that GNU tar reads without a word", async () => {
		await run("zstd", ["-t", out()]);
		const { index } = await verifyBundle(out(), trustOf(signer));
		const listing = await run("zstd", ["-lv", out()]);
		expect(listing.stdout).toMatch(new RegExp(`Zstandard Frames: ${index.frames.length}\\b`));
		expect(listing.stdout).toMatch(/Skippable Frames: 2\b/);
		await run("zstd", ["-dq", out(), "-o", join(dir, "plain.tar")]);
		const tar = await run("tar", ["--warning=all", "-tf", join(dir, "plain.tar")]);
		expect(tar.stderr).toBe("");
		const expected = ["oci-layout", "index.json", ...index.blobs.map((b) => `blobs/${b.digest.replace(":", "/")}`)];
		expect(tar.stdout.split("\n")).toEqual(expected);
	});

	test("unpacked, every blob has the digest that is its name, and skopeo finds every image by its full name", async () => {
		const layout = join(dir, "layout");
		await mkdir(layout);
		await run("tar", ["-xf", join(dir, "plain.tar"), "-C", layout]);
		for (const sum of ["sha256", "sha512"]) {
			const files = (await run("find", [join(layout, "blobs", sum), "-type", "f"])).stdout.split("\n");
			const sums = await run(`${sum}sum`, files);
			for (const line of sums.stdout.split("\n")) expect(line.endsWith(`/${line.split(" ")[0]}`)).toBe(true);
		}
		for (const { ref, digest } of names.slice(0, 3)) {
			const raw = await run("skopeo", ["inspect", "--raw", `oci:${layout}:${ref}`]);
			expect(raw.stdout).toBe(await readFile(join(layout, "blobs", digest.replace(":", "/")), "utf8"));
			if (digest.startsWith("sha512:")) continue; // Debian's skopeo shows such a manifest, but not its config
			await run("skopeo", ["inspect", "--override-arch=amd64", "--override-os=linux", `oci:${layout}:${ref}`]);
		}
		const copy = join(dir, "copy");
		await run("skopeo", ["copy", "--all", "--preserve-digests", `oci:${layout}:${names[0]!.ref}`, `dir:${copy}`]);
		expect(await readFile(join(copy, "manifest.json"), "utf8")).toBe(
			await readFile(join(layout, "blobs", names[0]!.digest.replace(":", "/")), "utf8"),
		);
	});

	test("the script that Artifact Studio publishes accepts it, and says so for a damaged one", async () => {
		// A loop over *.sig.bin around one openssl call; the data file has the same name with .zst.
		const script = `for sig in *.sig.bin; do file="\${sig%.sig.bin}.zst"
			if openssl dgst -sha256 -verify "$KEY" -signature "$sig" "$file"; then echo "good $file"; else echo "bad $file"; fi; done`;
		const check = () =>
			run("sh", ["-c", script], { cwd: join(dir, "bundles"), env: { KEY: join(dir, "public_key.pem") } });
		expect((await check()).stdout).toBe("Verified OK\ngood judged-1.0.0-amd64.zst");
		const fd = await open(out(), "r+");
		const { buffer } = await fd.read(Buffer.alloc(1), 0, 1, 1_000_000);
		await fd.write(Buffer.from([buffer[0]! ^ 1]), 0, 1, 1_000_000);
		expect((await check()).stdout).toContain("bad judged-1.0.0-amd64.zst");
		await fd.write(buffer, 0, 1, 1_000_000);
		await fd.close();
	});

	test("the index's signature can be checked with openssl alone", async () => {
		const { index, indexDigest } = readBundle(out(), signer.publicKeyPem);
		const bytes = await readFile(out());
		const start = index.dataLength + 8;
		const trailer = bytes.indexOf("SLPYIDX1", start);
		const payload = bytes.subarray(start, start + Number(bytes.readBigUInt64LE(trailer + 8)));
		const envelope = JSON.parse(bytes.toString("utf8", start + payload.length, trailer)) as {
			payloadType: string;
			signatures: { sig: string }[];
		};
		const type = envelope.payloadType;
		await writeFile(
			join(dir, "pae"),
			Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]),
		);
		await writeFile(join(dir, "pae.sig"), Buffer.from(envelope.signatures[0]!.sig, "base64"));
		const key = join(dir, "public_key.pem");
		const verified = await run("openssl", [
			"dgst",
			"-sha256",
			"-verify",
			key,
			"-signature",
			join(dir, "pae.sig"),
			join(dir, "pae"),
		]);
		expect(verified.stdout).toBe("Verified OK");
		await writeFile(join(dir, "payload"), payload);
		expect((await run("sha256sum", [join(dir, "payload")])).stdout).toContain(indexDigest);
	});

	test("openssl takes the golden bundle, with its development key's text in front", async () => {
		const [key, sig, file] = ["public_key.pem", "golden.sig.bin", "golden.zst"].map((f) => join(GOLDEN, f));
		expect((await run("openssl", ["dgst", "-sha256", "-verify", key!, "-signature", sig!, file!])).stdout).toBe(
			"Verified OK",
		);
	});
});

test("a signature by openssl over a file beyond 4 GiB covers it to the last byte", async () => {
	const file = join(dir, "large.iso");
	await writeFile(file, "start");
	await truncate(file, 2 ** 32 + 2); // sparse
	const key = join(dir, "private.pem");
	await writeFile(key, signer.privateKey.export({ format: "pem", type: "pkcs8" }) as string, { mode: 0o600 });
	await run("openssl", ["dgst", "-sha256", "-sign", key, "-out", signatureName(file), file]);
	const { sha256 } = await verifyFile(file, signatureName(file), trustOf(signer).release);
	expect((await run("sha256sum", [file])).stdout.split(" ")[0]).toBe(sha256);
});
