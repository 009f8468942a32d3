import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeTestBundle, type TestBundle } from "../test/support/bundles.ts";
import { type Forgery, flip, forgeBundle } from "../test/support/forge.ts";
import { sha256Hex } from "./digest.ts";
import type { ErrorCode } from "./errors.ts";
import { rawFrame } from "./frames.ts";
import type { BundleIndex, NameRecord } from "./index-schema.ts";
import { encodeLayoutIndex } from "./layout.ts";
import { paddingOf, tarHeader } from "./tar.ts";
import { verifyBundle } from "./verify.ts";

/** Bundles whose signatures are all valid and whose content is wrong: the signed index must agree with everything. */
let dir: string;
let good: TestBundle;
beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-forgery-"));
	good = await makeTestBundle(dir, {
		seed: "forgery",
		layers: [3000, 40],
		refs: ["a.example/one:1", "a.example/two:1"],
	});
});
afterAll(() => rm(dir, { recursive: true }));

const verifyForged = async (forgery: Forgery) => verifyBundle(await forgeBundle(good, forgery), good.trust);
const refused = (code: ErrorCode, forgery: Forgery) => expect(verifyForged(forgery)).rejects.toMatchObject({ code });
const index = (change: (index: BundleIndex) => void): Forgery => ({ index: change });

test("a forgery without a fault passes, so the others fail for their fault alone", async () => {
	await verifyForged({});
});

describe("index", () => {
	test("another format or an unknown critical feature is too new", async () => {
		await refused("E_FORMAT", { payload: (p) => Buffer.from(p.toString().replace('"format":1', '"format":2')) });
		await refused(
			"E_FORMAT",
			index((i) => i.critical.push("patch")),
		);
		const both = (p: Buffer) => Buffer.from(p.toString().replace('"critical":[]', '"critical":["x"],"new":1'));
		await refused("E_FORMAT", { payload: both });
	});

	test("unknown, missing and duplicate keys", async () => {
		const edit = (from: string | RegExp, to: string): Forgery => ({
			payload: (p) => Buffer.from(p.toString().replace(from, to)),
		});
		await refused("E_INDEX", edit('"critical":[]', '"critical":[],"new":1'));
		await refused("E_INDEX", edit('"critical":[],', ""));
		await refused("E_JSON_STRICT", edit('"critical":[]', '"critical":[],"critical":[]'));
		await refused("E_JSON_STRICT", edit('"format":1', '"format":1.0'));
		await verifyForged(index((i) => Object.assign(i.annotations, { anything: "goes" })));
	});

	// What is wrong, the code, which value of the index, and what it is set to.
	test.each<[string, ErrorCode, string, unknown]>([
		["a name with an escape sequence", "E_INDEX", "name", "x\u001b[2J"],
		["a text with a control character", "E_TEXT", "product", "a\u001b[2J"],
		["a text beyond ASCII", "E_TEXT", "exceptions", ["é"]],
		["sequence 0", "E_INDEX", "sequence", 0],
		["sequence 2^31", "E_INDEX", "sequence", 2 ** 31],
		["a digest with upper-case digits", "E_DIGEST_FORMAT", "blobs.0.digest", `sha256:${"A".repeat(64)}`],
		["a digest that is a path", "E_DIGEST_FORMAT", "blobs.0.digest", "sha256:../../../etc/passwd"],
		["a digest of another algorithm", "E_DIGEST_FORMAT", "names.0.digest", `md5:${"a".repeat(32)}`],
		["a reference that climbs", "E_INDEX", "names.0.ref", "a/../b:1"],
		["a name twice", "E_NAME_CONFLICT", "names", (n: NameRecord[]) => [...n, { ...n[1]!, ref: n[0]!.ref }]],
		["a name that no pack brings", "E_INDEX", "packs.0.names", (n: string[]) => n.slice(1)],
		["a pack's name that is not there", "E_INDEX", "packs.0.names", (n: string[]) => [...n, "a.example/three:1"]],
		["a pack of another architecture", "E_TARGET", "packs.0.arch", "arm64"],
		["a pack without FIPS in a FIPS bundle", "E_FIPS_MIX", "fips", true],
		["a pack without FIPS in a bundle without code", "E_FIPS_MIX", "fips", "n/a"],
		["dataLength one too small", "E_INDEX", "dataLength", (n: number) => n - 1],
		["a blob's offset", "E_INDEX", "blobs.1.tarOffset", (n: number) => n + 512],
		["a blob's frame", "E_INDEX", "blobs.1.frame", 1],
		["a blob twice", "E_ENTRY_DUP", "blobs", (b: unknown[]) => [...b, b[0]]],
		["a blob's size", "E_INDEX", "blobs.0.size", (n: number) => n + 512],
		["a blob's size, within its padding", "E_DIGEST_MISMATCH", "blobs.0.size", (n: number) => n + 1],
		["files in another order", "E_INDEX", "files", (f: unknown[]) => [...f].reverse()],
		["a file left out", "E_INDEX", "files", (f: unknown[]) => f.slice(0, 1)],
		["the digest of index.json", "E_DIGEST_MISMATCH", "files.1.sha256", "0".repeat(64)],
		["a plain size of 0", "E_INDEX", "frames.0.1", 0],
		["a plain size over 8 MiB", "E_INDEX", "frames.0.1", 8 * 2 ** 20 + 1],
		["a plain size one too small", "E_INDEX", "frames.0.1", (n: number) => n - 1],
		["a compressed size that no frame needs", "E_SIZE_EXCEEDED", "frames.0.0", 2 ** 31],
		["a frame's digest", "E_FRAME", "frames.0.2", "0".repeat(64)],
		["a platform of an image that has none", "E_INDEX", "names.0.platforms", ["linux/amd64"]],
		["an absent image that no index names", "E_INDEX", "names.0.absent", [`sha256:${"0".repeat(64)}`]],
		["a manifest's media type", "E_NAME_SET", "names.0.mediaType", "application/vnd.oci.image.index.v1+json"],
		["a manifest's size", "E_NAME_SET", "names.0.size", (n: number) => n + 1],
	])("%s", async (_, code, path, value) => {
		await refused(code, {
			index: (i) => {
				const keys = path.split(".");
				const last = keys.pop()!;
				const parent = keys.reduce(
					(at, key) => at[key] as Record<string, unknown>,
					i as unknown as Record<string, unknown>,
				);
				parent[last] = typeof value === "function" ? value(parent[last]) : value;
			},
		});
	});

	test("a frame's digest, where the frame holds plain bytes of a layer: only a load goes by the layer's own", async () => {
		const layered = await makeTestBundle(join(dir, "layered"), { seed: "layered", layers: [3_000_000] });
		const blob = layered.index.blobs.find(({ size }) => size === 3_000_000)!;
		const forged = await forgeBundle(layered, {
			frames: (tar) => {
				let rest = tar;
				return layered.index.frames.map(([, plain]) => {
					const frame = rawFrame(rest.subarray(0, plain));
					rest = rest.subarray(plain);
					return { frame, plain };
				});
			},
			index: (i) => {
				i.blobs = structuredClone(layered.index.blobs);
				i.frames[blob.frame + 1]![2] = "0".repeat(64);
			},
		});
		await expect(verifyBundle(forged, layered.trust)).rejects.toMatchObject({ code: "E_FRAME" });
		await verifyBundle(forged, layered.trust, { provesRawByContent: true });
		const rest = { provesRawByContent: true, skip: (digest: string) => digest !== blob.digest };
		await expect(verifyBundle(forged, layered.trust, rest)).rejects.toMatchObject({ code: "E_FRAME" });
	});

	test("a name that leads to another image than index.json says", async () => {
		await refused(
			"E_NAME_SET",
			index((i) => {
				i.names[0]!.digest = i.names[1]!.digest;
			}),
		);
	});

	test("a name that is only in index.json, or only in the index", async () => {
		const drop = (i: BundleIndex) => {
			i.names.pop();
			i.packs[0]!.names.pop();
		};
		await refused("E_NAME_SET", index(drop));
		const add = (i: BundleIndex) => {
			i.names.push({ ...i.names[0]!, ref: "a.example/three:1" });
			i.packs[0]!.names.push("a.example/three:1");
		};
		await refused("E_NAME_SET", index(add));
	});

	test("nothing of a wrong layout reaches the caller: it is seen before onIndex", async () => {
		const path = await forgeBundle(good, {
			index: (i) => {
				i.files[1]!.sha256 = "0".repeat(64);
			},
		});
		const onIndex = () => expect.fail("too early");
		await expect(verifyBundle(path, good.trust, { onIndex })).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	});

	test("another payload type, as of a release signed with the same key", async () => {
		await refused("E_SIG_CONTEXT", { payloadType: "application/vnd.slipway.content-release.v1+json" });
	});

	test("an envelope with another document inside", async () => {
		await refused("E_SIG_INVALID", { envelope: () => Buffer.from("{}") });
		await refused("E_JSON_STRICT", { envelope: (e) => Buffer.concat([e, Buffer.from("x")]) });
		await refused("E_UNSIGNED", { envelope: (e) => Buffer.from(e.toString().replace(/\[.*\]/, "[]")) });
	});
});

describe("content", () => {
	test("a blob with other bytes, under a frame that is right", async () => {
		const last = good.index.blobs.at(-1)!;
		const change = (tar: Buffer) => flip(tar, last.tarOffset);
		await refused("E_DIGEST_MISMATCH", { tar: change });
		const manifest = good.index.blobs.find((b) => b.digest === good.names[0]!.digest)!;
		await refused("E_DIGEST_MISMATCH", { tar: (tar) => flip(tar, manifest.tarOffset) });
	});

	test("a header, padding or end that is not the one", async () => {
		const blob = good.index.blobs.at(-1)!;
		const set = (at: number): Forgery => ({ tar: (tar) => flip(tar, at) });
		await refused("E_ENTRY_NAME", set(blob.tarOffset - 512));
		await refused("E_ENTRY_TYPE", set(blob.tarOffset - 512 + 156));
		await refused("E_TAR", set(blob.tarOffset + blob.size));
		const atEnd: Forgery = { tar: (tar) => flip(tar, tar.length - 1) };
		await refused("E_TAR", atEnd);
	});

	test("a tar that is longer or shorter than its entries", async () => {
		await refused("E_INDEX", { tar: (tar) => Buffer.concat([tar, Buffer.alloc(512)]) });
		await refused("E_INDEX", { tar: (tar) => tar.subarray(0, -512) });
	});

	test("a blob that is missing, and one that no name leads to", async () => {
		const dropLast = (tar: Buffer) => {
			const blob = good.index.blobs.at(-1)!;
			return Buffer.concat([tar.subarray(0, blob.tarOffset - 512), Buffer.alloc(1024)]);
		};
		await refused("E_BLOB_MISSING", { tar: dropLast, index: (i) => void i.blobs.pop() });
		// The same tar with the index.json of a bundle that has only the first name: names agree, blobs are too many.
		const json = encodeLayoutIndex([good.names[0]!]);
		const short = Buffer.concat([
			tarHeader({ name: "index.json", size: json.length }),
			json,
			Buffer.alloc(paddingOf(json.length)),
		]);
		const cut = good.index.files[1]!.tarOffset - 512;
		const rest = good.index.blobs[0]!.tarOffset - 512;
		const extra: Forgery = {
			tar: (tar) => Buffer.concat([tar.subarray(0, cut), short, tar.subarray(rest)]),
			index: (i) => {
				i.names = [good.names[0]!];
				i.packs[0]!.names = [good.names[0]!.ref];
				i.files[1] = { name: "index.json", sha256: sha256Hex(json), size: json.length, tarOffset: cut + 512 };
				for (const blob of i.blobs) blob.tarOffset += cut + short.length - rest;
			},
		};
		await refused("E_INDEX", extra);
		await expect(verifyForged(extra)).rejects.toThrow("which no name leads to");
	});

	test("frames that share a blob with another, or cut one in a shared frame", async () => {
		const end = good.index.blobs.at(-1)!.tarOffset + 512;
		const [long, short] = good.index.blobs.slice(-2).map((b) => b.tarOffset);
		const cutAt = (...cuts: number[]): Forgery => ({
			frames: (tar) =>
				[0, ...cuts].map((from, i) => {
					const plain = tar.subarray(from, cuts[i] ?? tar.length);
					return { frame: rawFrame(plain), plain: plain.length };
				}),
			index: (i) => {
				for (const b of i.blobs) b.frame = cuts.filter((cut) => cut <= b.tarOffset - 512).length;
			},
		});
		await verifyForged(cutAt(short! - 512)); // between two entries
		await verifyForged(cutAt(long! - 512, long!, long! + 1, short! - 512, end)); // inside one that has its own frames
		await refused("E_INDEX", cutAt(short!)); // inside one, behind others
		await refused("E_INDEX", cutAt(short!, end));
		await refused("E_INDEX", cutAt(long! - 512, long! + 100)); // the rest of one, with others behind
		await refused("E_INDEX", cutAt(long! - 512, long! + 100, end));
	});

	test("bytes between the data frames and the index that no frame covers", async () => {
		const hidden = Buffer.from("hidden");
		const at = (file: Buffer) => file.indexOf(Buffer.from("572a4d18", "hex"));
		await refused("E_INDEX", {
			index: (i) => {
				i.dataLength += hidden.length;
			},
			file: (file) => Buffer.concat([file.subarray(0, at(file)), hidden, file.subarray(at(file))]),
		});
		await refused("E_INDEX", {
			file: (file) => Buffer.concat([file.subarray(0, at(file)), hidden, file.subarray(at(file))]),
		});
	});

	test("frames that a lenient decoder would take: two in one, trailing skippable frame, a bomb", async () => {
		const one = (make: (tar: Buffer) => Buffer): Forgery => ({
			frames: (tar) => [{ frame: make(tar), plain: tar.length }],
		});
		await verifyForged(one((tar) => zstdCompressSync(tar)));
		await refused(
			"E_FRAME",
			one((tar) => Buffer.concat([zstdCompressSync(tar.subarray(0, 512)), zstdCompressSync(tar.subarray(512))])),
		);
		await refused(
			"E_FRAME",
			one((tar) => Buffer.concat([zstdCompressSync(tar), Buffer.from("502a4d1800000000", "hex")])),
		);
		await refused(
			"E_FRAME",
			one((tar) => zstdCompressSync(Buffer.concat([tar, Buffer.alloc(1)]))),
		);
	});
});
