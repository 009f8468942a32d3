import { copyFile, mkdtemp, open, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readBundle } from "../test/independent-reader.ts";
import { makeTestBundle, type TestBundle, testSigner, trustOf, writeSignature } from "../test/support/bundles.ts";
import type { SlipwayError } from "./errors.ts";
import { verifyBundle } from "./verify.ts";

let dir: string;
let good: TestBundle;
let bytes: Buffer;
beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-verify-"));
	good = await makeTestBundle(dir, { seed: "verify", layers: [40] });
	bytes = await readFile(good.path);
});
afterAll(() => rm(dir, { recursive: true }));

/** A copy of the good bundle with other bytes; its `.sig.bin` is made again over them unless `sign` is false. */
async function altered(change: (bytes: Buffer) => Buffer, sign = true): Promise<string> {
	const path = join(dir, "altered.zst");
	const next = change(Buffer.from(bytes));
	await writeFile(path, next);
	if (sign) await writeSignature(good.signer, next, join(dir, "altered.sig.bin"));
	else await copyFile(good.sigPath, join(dir, "altered.sig.bin"));
	return path;
}

/** Whether the message names the region that the byte is in, as one that includes it. */
function names(message: string, at: number): boolean {
	const indexEnd = bytes.length - (8 + 8 * (good.index.frames.length + 1) + 9);
	const what = at < good.index.dataLength ? "frame" : at < indexEnd ? "index" : "seek table";
	const found = new RegExp(`${what}(?: (\\d+))? \\(bytes (\\d+) to (\\d+)\\)`).exec(message);
	if (found === null) return at >= bytes.length - 4 && message.includes("seek table is missing"); // its magic number
	return Number(found[2]) <= at && at <= Number(found[3]);
}

const VERIFICATION = { name: "SlipwayError", exitCode: expect.toSatisfy((code) => code === 6 || code === 3) };

describe("a good bundle", () => {
	test("verifies, and its blobs come out as they went in", async () => {
		const chunks = new Map<string, Buffer[]>();
		const done: string[] = [];
		const progress: number[] = [];
		const result = await verifyBundle(good.path, good.trust, {
			onBlobData: (digest, pieces) =>
				void chunks.set(digest, [...(chunks.get(digest) ?? []), ...pieces.map((p) => Buffer.from(p))]),
			onBlob: (digest) => void done.push(digest),
			onProgress: (n) => void progress.push(n),
		});
		expect(result).toMatchObject({
			indexDigest: good.indexDigest,
			size: bytes.length,
			keys: [good.signer.keyId],
			fileKey: good.signer.keyId,
			development: false,
		});
		expect(done).toEqual(good.index.blobs.map((b) => b.digest));
		const independent = readBundle(good.path, good.signer.publicKeyPem);
		expect(independent.indexDigest).toBe(good.indexDigest);
		for (const [digest, data] of independent.blobs) expect(Buffer.concat(chunks.get(digest)!)).toEqual(data);
		expect(progress.at(-1)).toBe(bytes.length);
	});

	test("of many frames, through the hashing thread, with every kind of blob", async () => {
		const big = await makeTestBundle(dir, {
			file: "big.zst",
			layers: [6_000_000, 3_100_000, 0],
			refs: ["a.b/c:1", "a.b/c:2"],
		});
		expect((await verifyBundle(big.path, big.trust)).indexDigest).toBe(big.indexDigest);
		const text = await makeTestBundle(dir, {
			file: "text.zst",
			layers: [9_000_000],
			compressible: true,
			algorithm: "sha512",
		});
		expect((await verifyBundle(text.path, text.trust)).indexDigest).toBe(text.indexDigest);
		expect(readBundle(text.path, text.signer.publicKeyPem).indexDigest).toBe(text.indexDigest);
		await writeSignature(testSigner(), await readFile(big.path), big.sigPath);
		await expect(verifyBundle(big.path, big.trust)).rejects.toMatchObject({ code: "E_SIG_INVALID" });
	});
});

describe("damage", () => {
	test.each([
		["", {}],
		[" in a load too", { provesRawByContent: true }],
	])(
		"one flipped bit in any byte is refused by the signed index alone, even under a valid .sig.bin%s",
		async (_, how) => {
			const path = await altered((b) => b);
			const fd = await open(path, "r+");
			const codes = new Set<string>();
			try {
				for (let at = 0; at < bytes.length; at++) {
					const bad = Buffer.from(bytes);
					bad[at]! ^= 1 << (at % 8);
					await fd.write(bad, at, 1, at);
					await writeSignature(good.signer, bad, join(dir, "altered.sig.bin"));
					const error = await verifyBundle(path, good.trust, how).then(
						() => expect.fail(`a flipped bit at byte ${at} was not seen`),
						(e: unknown) => e as SlipwayError,
					);
					expect(error, `byte ${at}`).toMatchObject(VERIFICATION);
					expect(error.message, `byte ${at}`).toSatisfy((text: string) => names(text, at));
					codes.add(error.code);
					await fd.write(bytes, at, 1, at);
				}
			} finally {
				await fd.close();
			}
			for (const code of ["E_FRAME", "E_INDEX", "E_SEEK_TABLE", "E_KEY_UNKNOWN", "E_SIG_INVALID"])
				expect(codes).toContain(code);
		},
	);

	test("one flipped bit in any byte of .sig.bin is refused", async () => {
		const path = await altered((b) => b, false);
		const signature = await readFile(good.sigPath);
		for (let at = 0; at < signature.length; at++) {
			const bad = Buffer.from(signature);
			bad[at]! ^= 1 << (at % 8);
			await writeFile(join(dir, "altered.sig.bin"), bad);
			await expect(verifyBundle(path, good.trust)).rejects.toMatchObject({ code: "E_SIG_INVALID" });
		}
	});

	test("the file cut off after any byte is refused", async () => {
		const path = await altered((b) => b);
		for (let size = bytes.length - 1; size >= 0; size--) {
			await truncate(path, size);
			await expect(verifyBundle(path, good.trust), `${size} bytes`).rejects.toMatchObject(VERIFICATION);
		}
	});

	test("bytes behind the end are refused and counted", async () => {
		for (const [n, fill] of [
			[1, 0],
			[512, 0],
			[3, 1],
			[bytes.length, 2],
		] as const) {
			const more = n === bytes.length ? bytes : Buffer.alloc(n, fill);
			const path = await altered((b) => Buffer.concat([b, more]));
			const code = n === bytes.length ? "E_INDEX" : "E_TRAILING"; // a whole bundle behind it has a tail of its own
			await expect(verifyBundle(path, good.trust)).rejects.toMatchObject({ code });
		}
		const path = await altered((b) => Buffer.concat([b, Buffer.alloc(100)]));
		const from = bytes.length;
		await expect(verifyBundle(path, good.trust)).rejects.toThrow(`100 trailing bytes (from byte ${from})`);
	});

	test("a wrong .sig.bin over good bytes is told as that", async () => {
		const path = await altered((b) => b);
		await writeSignature(good.signer, Buffer.from("others"), join(dir, "altered.sig.bin"));
		await expect(verifyBundle(path, good.trust)).rejects.toThrow(
			/signature file .*altered\.sig\.bin .* Index, frames and seek table are good/,
		);
	});

	test("two frames exchanged, with their seek-table entries, are refused", async () => {
		const [a, b] = [good.index.frames[0]![0], good.index.frames[1]![0]];
		const path = await altered((f) => Buffer.concat([f.subarray(a, a + b), f.subarray(0, a), f.subarray(a + b)]));
		await expect(verifyBundle(path, good.trust)).rejects.toMatchObject({ code: "E_FRAME" });
	});
});

describe("trust", () => {
	test("without .sig.bin it is unsigned, whatever its index says", async () => {
		const path = await altered((b) => b);
		await rm(join(dir, "altered.sig.bin"));
		await expect(verifyBundle(path, good.trust)).rejects.toMatchObject({ code: "E_UNSIGNED" });
		await writeFile(join(dir, "altered.sig.bin"), "");
		await expect(verifyBundle(path, good.trust)).rejects.toMatchObject({ code: "E_SIG_INVALID" });
	});

	test("an unknown key is refused", async () => {
		await expect(verifyBundle(good.path, trustOf(testSigner()))).rejects.toMatchObject({ code: "E_KEY_UNKNOWN" });
	});

	test("a .sig.bin by an unknown key is refused, although the index is trusted", async () => {
		const path = await altered((b) => b);
		await writeSignature(testSigner(), bytes, join(dir, "altered.sig.bin"));
		await expect(verifyBundle(path, good.trust)).rejects.toMatchObject({ code: "E_SIG_INVALID" });
	});

	test("the .sig.bin of another build of the same content is refused", async () => {
		const again = await makeTestBundle(dir, { seed: "verify", layers: [40], file: "again.zst", signer: testSigner() });
		expect(again.indexDigest).toBe(good.indexDigest);
		const trust = trustOf([good.signer, again.signer]);
		await verifyBundle(again.path, trust);
		await copyFile(good.sigPath, again.sigPath);
		await expect(verifyBundle(again.path, trust)).rejects.toMatchObject({ code: "E_SIG_INVALID" });
	});

	test("any trusted key of the role may have made .sig.bin, but not a revoked one", async () => {
		const other = testSigner({ curve: "P-384", development: true });
		const path = await altered((b) => b);
		await writeSignature(other, bytes, join(dir, "altered.sig.bin"));
		const result = await verifyBundle(path, trustOf([good.signer, other]));
		expect(result).toMatchObject({ fileKey: other.keyId, keys: [good.signer.keyId], development: true });
		const revoked = trustOf([good.signer, other], { denyKeys: new Set([other.keyId]) });
		await expect(verifyBundle(path, revoked)).rejects.toMatchObject({ code: "E_SIG_INVALID" });
	});

	test("a revoked key, a denied index, a threshold of two", async () => {
		const refused = (role: Parameters<typeof trustOf>[1], code: string) =>
			expect(verifyBundle(good.path, trustOf([good.signer, testSigner()], role))).rejects.toMatchObject({ code });
		await refused({ denyKeys: new Set([good.signer.keyId]) }, "E_KEY_REVOKED");
		await refused({ denyIndexes: new Set([good.indexDigest]) }, "E_DENIED");
		await refused({ threshold: 2 }, "E_THRESHOLD");
	});
});

describe("callers", () => {
	test("onIndex comes before any blob, and can refuse", async () => {
		let seen = 0;
		const refusal = verifyBundle(good.path, good.trust, {
			onIndex: (_, digest) => {
				expect(digest).toBe(good.indexDigest);
				throw new Error("not in the release");
			},
			onBlobData: () => void seen++,
		});
		await expect(refusal).rejects.toThrow("not in the release");
		expect(seen).toBe(0);
	});

	test("a failing callback stops it, and an abort", async () => {
		const fails = async () => Promise.reject(new Error("disk full"));
		await expect(verifyBundle(good.path, good.trust, { onBlobData: fails })).rejects.toThrow("disk full");
		await expect(verifyBundle(good.path, good.trust, { onBlob: fails })).rejects.toThrow("disk full");
		const signal = AbortSignal.abort();
		await expect(verifyBundle(good.path, good.trust, { signal })).rejects.toMatchObject({ code: "E_INTERRUPTED" });
		// While only the hash of the whole file is missing.
		const late = new AbortController();
		const onProgress = (done: number) => void (done === good.index.dataLength && late.abort());
		const stopped = verifyBundle(good.path, good.trust, { signal: late.signal, onProgress });
		await expect(stopped).rejects.toMatchObject({ code: "E_INTERRUPTED" });
	});

	test("a file that is written to meanwhile, or replaced by name, does not pass", async () => {
		const path = await altered((b) => b);
		const touched = verifyBundle(path, good.trust, { onIndex: () => writeFile(path, bytes) });
		await expect(touched).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" });
		// Another file under the name is never looked at: the first one is still open.
		const swapped = await altered((b) => b);
		await writeFile(join(dir, "evil"), Buffer.alloc(bytes.length));
		const seen = verifyBundle(swapped, good.trust, { onIndex: () => rename(join(dir, "evil"), swapped) });
		await expect(seen).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" }); // its link count, so its ctime, changed
	});

	test("a symbolic link, a named pipe that nobody writes to, nothing", async () => {
		await symlink(good.path, join(dir, "link.zst"));
		await copyFile(good.sigPath, join(dir, "link.sig.bin"));
		await expect(verifyBundle(join(dir, "link.zst"), good.trust)).rejects.toMatchObject({ code: "E_IO" });
		await execa("mkfifo", [join(dir, "pipe.zst"), join(dir, "pipe-signature.sig.bin")]);
		await copyFile(good.sigPath, join(dir, "pipe.sig.bin"));
		await copyFile(good.path, join(dir, "pipe-signature.zst"));
		await expect(verifyBundle(join(dir, "pipe.zst"), good.trust)).rejects.toMatchObject({ code: "E_IO" });
		await expect(verifyBundle(join(dir, "pipe-signature.zst"), good.trust)).rejects.toMatchObject({ code: "E_IO" });
		await copyFile(good.sigPath, join(dir, "none.sig.bin"));
		await expect(verifyBundle(join(dir, "none.zst"), good.trust)).rejects.toMatchObject({ code: "E_IO" });
	});
});
