import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeTestBundle, seededBytes, testSigner, trustOf, writeSignature } from "../test/support/bundles.ts";
import { sha256Hex } from "./digest.ts";
import { signatureName, verifyFile } from "./signature-file.ts";

let dir: string;
const signer = testSigner();
const trust = trustOf([testSigner(), signer, testSigner({ curve: "P-384" })]).release;
beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-signature-"));
});
afterAll(() => rm(dir, { recursive: true }));

test("signature names are those of Artifact Studio", () => {
	expect(signatureName("pack.zst")).toBe("pack.sig.bin");
	expect(signatureName("content.tar.zst")).toBe("content.tar.sig.bin");
	expect(signatureName("appliance.iso")).toBe("appliance.iso.sig.bin");
	expect(signatureName("/a.zst/b")).toBe("/a.zst/b.sig.bin");
});

// The second size goes through the hashing thread.
describe.each([1000, 9 * 1024 * 1024 + 1])("verifyFile, %i bytes", (size) => {
	const bytes = seededBytes("file", size);
	const file = () => join(dir, `file-${size}`);
	const sig = () => signatureName(file());
	beforeAll(async () => {
		await writeFile(file(), bytes);
		await writeSignature(signer, bytes, sig());
	});

	test("finds the key among those of the role, and the digest", async () => {
		const result = await verifyFile(file(), sig(), trust);
		expect(result).toEqual({ sha256: sha256Hex(bytes), keyId: signer.keyId, development: false });
	});

	test("refuses a flipped bit at the start, in the middle and at the end", async () => {
		for (const at of [0, size >> 1, size - 1]) {
			const bad = Buffer.from(bytes);
			bad[at]! ^= 1;
			await writeFile(join(dir, "bad"), bad);
			await expect(verifyFile(join(dir, "bad"), sig(), trust)).rejects.toMatchObject({ code: "E_SIG_INVALID" });
		}
		await writeFile(join(dir, "bad"), bytes.subarray(0, -1));
		await expect(verifyFile(join(dir, "bad"), sig(), trust)).rejects.toMatchObject({ code: "E_SIG_INVALID" });
	});

	test("refuses an unknown or revoked key, no signature, a link, and a file that is not there", async () => {
		const refused = (code: string, path: string, sigPath: string, role = trust) =>
			expect(verifyFile(path, sigPath, role)).rejects.toMatchObject({ code });
		await refused("E_SIG_INVALID", file(), sig(), trustOf(testSigner()).release);
		await refused("E_KEY_REVOKED", file(), sig(), trustOf(signer, { denyKeys: new Set([signer.keyId]) }).release);
		await refused("E_UNSIGNED", file(), join(dir, "none.sig.bin"));
		await refused("E_IO", join(dir, "none"), sig());
		await symlink(file(), join(dir, `link-${size}`));
		await refused("E_IO", join(dir, `link-${size}`), sig());
		await writeFile(join(dir, "long.sig.bin"), Buffer.alloc(1025));
		await refused("E_SIG_INVALID", file(), join(dir, "long.sig.bin"));
	});
});

test("the hashing thread starts from one bundled, minified file too", async () => {
	const bundle = await makeTestBundle(dir, { layers: [12_000_000] });
	await writeFile(join(dir, "key.pem"), bundle.signer.publicKeyPem);
	const contents = `import { verifyBundle } from "./verify.ts"; import { loadTrust } from "./trust.ts";
		const { indexDigest } = await verifyBundle(process.argv[2], await loadTrust(process.argv[3]));
		process.stdout.write(indexDigest);`;
	const outfile = join(dir, "one.mjs");
	const { metafile } = await build({
		metafile: true,
		stdin: { contents, resolveDir: import.meta.dirname, loader: "ts" },
		bundle: true,
		platform: "node",
		format: "esm",
		target: "node24",
		minify: true,
		keepNames: true,
		outfile,
	});
	const native = Object.keys(metafile.inputs).filter((file) => /compress|mongodb/.test(file));
	expect(native).toEqual([]); // a reader needs no addon
	const { stdout } = await execa(process.execPath, [outfile, bundle.path, join(dir, "key.pem")]);
	expect(stdout).toBe(bundle.indexDigest);
});
