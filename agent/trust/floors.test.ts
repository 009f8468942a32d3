import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import type { BundleIndex, ContentRelease } from "../../bundle/index-schema.ts";
import { testSigner, trustOf } from "../../test/support/bundles.ts";
import { TestChain } from "../../test/support/statements.ts";
import { tempDir } from "../../test/support/temp.ts";
import { TrustLedger } from "./ledger.ts";
import type { SignedRelease } from "./release.ts";

const [root, key, _next] = [testSigner(), testSigner(), testSigner()] as const;
const baked = trustOf(key, {}, [root]);
const code = (expected: string, message = "") =>
	expect.objectContaining({ code: expected, message: expect.stringContaining(message) });
const id = (n: number) => n.toString(16).padStart(64, "0");

/** A verified release as the floors see it: `to` distinguishes two with one sequence. */
function release(sequence: number, { product = "slipway", to = sequence, development = false } = {}): SignedRelease {
	const payload = { product, version: `1.${sequence}`, sequence, bundles: [] } as unknown as ContentRelease;
	return { release: payload, digest: id(to), development, bytes: Buffer.alloc(0) };
}
type Fips = BundleIndex["fips"];
function bundle(sequence: number, { name = "core", arch = "amd64", fips = true as Fips, to = 1000 + sequence } = {}) {
	return { index: { name, version: "1", sequence, arch, fips } as BundleIndex, indexDigest: id(to) };
}

let folder: string;
let content: string;
let chain: TestChain;
beforeEach(async () => {
	const dir = await tempDir();
	[folder, content, chain] = [join(dir, "state/trust"), join(dir, "content"), new TestChain(root)];
});
const open = (trust = baked) => TrustLedger.open(folder, trust);
const floors = () => readFile(join(folder, "floors.json"), "utf8").catch(() => undefined);
/** A box that has had this set. */
async function boxWith(...had: Parameters<TrustLedger["raise"]>): Promise<TrustLedger> {
	await (await open()).raise(...had);
	return open();
}
/** Codes that the floors answer with. */
function faults(ledger: TrustLedger, ...set: Parameters<TrustLedger["checkFloors"]>): string[] {
	try {
		ledger.checkFloors(...set);
		return [];
	} catch (error) {
		return ((error as AggregateError).errors ?? [error]).map((e: { code: string }) => e.code);
	}
}

describe("floors", () => {
	const had = [release(5), [bundle(5), bundle(7, { name: "extra", arch: "any", fips: "n/a" })]] as const;

	test.each<[string, string[], SignedRelease, ReturnType<typeof bundle>[]]>([
		["the same set", [], release(5), [bundle(5)]],
		["a newer release with newer bundles", [], release(6), [bundle(6)]],
		["a newer release with the same bundle", [], release(6), [bundle(5)]],
		["an older release", ["E_ROLLBACK"], release(4), [bundle(5)]],
		["another release with the same sequence", ["E_SEQUENCE_REUSED"], release(5, { to: 99 }), [bundle(5)]],
		["a newer release with an older bundle", ["E_ROLLBACK"], release(6), [bundle(4)]],
		["a newer release with another bundle of one sequence", ["E_SEQUENCE_REUSED"], release(6), [bundle(5, { to: 99 })]],
		["everything wrong at once", ["E_ROLLBACK", "E_ROLLBACK"], release(1), [bundle(1)]],
		["an older bundle of another name", [], release(6), [bundle(1, { name: "other" })]],
		["an older bundle of another architecture", [], release(6), [bundle(1, { arch: "arm64" })]],
		["an older bundle of another FIPS flag", [], release(6), [bundle(1, { fips: false })]],
		["FIPS not applicable is a flag of its own", [], release(6), [bundle(1, { fips: "n/a" })]],
		[
			"an older bundle for any machine",
			["E_ROLLBACK"],
			release(6),
			[bundle(1, { name: "extra", arch: "any", fips: "n/a" })],
		],
		["an older release of another product", [], release(1, { product: "other" }), [bundle(5)]],
		[
			"a development release again with other bytes",
			[],
			release(5, { to: 99, development: true }),
			[bundle(5, { to: 98 })],
		],
		["an older development release", ["E_ROLLBACK"], release(4, { development: true }), []],
		["the highest sequence there is", [], release(2 ** 31 - 1), []],
	])("%s: %j", async (_, expected, next, bundles) => {
		expect(faults(await boxWith(...had), next, bundles)).toEqual(expected);
	});

	test("a fresh box takes anything, and writes nothing by looking", async () => {
		expect(faults(await open(), release(1), [bundle(1)])).toEqual([]);
		expect(await floors()).toBeUndefined();
	});

	test("they only rise, and what does not rise is not written", async () => {
		const ledger = await boxWith(...had);
		const before = await stat(join(folder, "floors.json"), { bigint: true });
		await ledger.raise(release(4), [bundle(3)]);
		await (await open()).raise(...had);
		expect((await stat(join(folder, "floors.json"), { bigint: true })).ino).toBe(before.ino);
		await ledger.raise(release(4), [bundle(9)]);
		expect(faults(await open(), release(4), [])).toEqual(["E_ROLLBACK"]);
		expect(faults(await open(), release(6), [bundle(8)])).toEqual(["E_ROLLBACK"]);
	});

	test("two that rise at once, the lower one last, leave the higher", async () => {
		const ledger = await open();
		await Promise.all([ledger.raise(release(10), [bundle(3)]), ledger.raise(release(9), [bundle(4)])]);
		for (const box of [ledger, await open()]) expect(faults(box, release(9), [bundle(3)])).toHaveLength(2);
	});

	test("an old copy in memory lowers no floor, nor has a reset twice", async () => {
		const old = await boxWith(release(8), [bundle(8)]);
		await chain.add("floor-reset", { products: [{ product: "slipway", sequence: 3 }] });
		await chain.write(content);
		const other = await open();
		await other.accept(content);
		await other.raise(release(7), [bundle(10)]);
		await old.raise(release(6), [bundle(9), bundle(1, { name: "extra" })]);
		await old.accept(content);
		for (const box of [old, await open()]) {
			expect(faults(box, release(6), [bundle(9)])).toEqual(["E_ROLLBACK", "E_ROLLBACK"]);
			expect(faults(box, release(7), [bundle(10)])).toEqual([]);
		}
	});

	test("a file that was put back to an earlier one is made good from memory", async () => {
		const ledger = await boxWith(release(5), [bundle(5)]);
		const early = (await floors())!;
		await ledger.raise(release(8), [bundle(8)]);
		await writeFile(join(folder, "floors.json"), early);
		await ledger.raise(release(6), [bundle(6)]);
		expect(faults(await open(), release(7), [bundle(7)])).toEqual(["E_ROLLBACK", "E_ROLLBACK"]);
	});

	test("the committed set is never refused by them, nor is a crash between raise and commit", async () => {
		// The floors are those of release 6, which was not committed: 5 stays, and 6 can be loaded again.
		const ledger = await boxWith(release(6), [bundle(6)]);
		expect(faults(ledger, release(5), [bundle(5)], release(5).digest)).toEqual([]);
		expect(faults(ledger, release(6), [bundle(6)], release(5).digest)).toEqual([]);
		expect(faults(ledger, release(4), [bundle(4)], release(5).digest)).toEqual(["E_ROLLBACK", "E_ROLLBACK"]);
		expect(faults(ledger, release(5, { to: 77 }), [bundle(6)], release(5).digest)).toEqual(["E_ROLLBACK"]);
	});

	test("a lost file begins anew at what is committed", async () => {
		await boxWith(release(5), [bundle(5)]);
		await rm(join(folder, "floors.json"));
		const ledger = await open();
		await ledger.adopt(release(5), [bundle(5)]);
		expect(faults(await open(), release(4), [bundle(4)])).toEqual(["E_ROLLBACK", "E_ROLLBACK"]);
		// With floors there it does nothing: a planned rollback is not undone.
		await (await open()).adopt(release(9), []);
		expect(faults(await open(), release(6), [])).toEqual([]);
	});

	test.each<[string, (text: string) => string]>([
		["empty", () => ""],
		["cut", (text) => text.slice(0, 40)],
		["with one digit changed", (text) => text.replace(",5,", ",4,")],
		["with its sum removed", (text) => text.split("\n")[0]!],
		["with more behind it", (text) => `${text}x`],
		["not JSON at all", () => "hello\n"],
	])("a damaged file (%s) refuses what is new, and never counts as zero", async (_, damage) => {
		await boxWith(...had);
		await writeFile(join(folder, "floors.json"), damage((await floors())!));
		const ledger = await open();
		expect(ledger.trust.release).toEqual(baked.release);
		expect(faults(ledger, release(9), [])).toEqual(["E_TRUST_STATE"]);
		expect(faults(ledger, release(5), [], release(5).digest)).toEqual([]);
		await expect(ledger.raise(release(9), [])).rejects.toEqual(code("E_TRUST_STATE"));
		await expect(ledger.adopt(release(9), [])).resolves.toBeUndefined();
	});

	test("a damaged file that was removed lets the same ledger go on from what is committed", async () => {
		const ledger = await boxWith(...had);
		await writeFile(join(folder, "floors.json"), "hello\n");
		await ledger.accept(content);
		expect(faults(ledger, release(9), [])).toEqual(["E_TRUST_STATE"]);
		await rm(join(folder, "floors.json"));
		await ledger.accept(content);
		await ledger.adopt(release(5), [bundle(5)]);
		for (const box of [ledger, await open()]) expect(faults(box, release(4), [])).toEqual(["E_ROLLBACK"]);
	});

	test("a folder where the file should be refuses too", async () => {
		await mkdir(join(folder, "floors.json"), { recursive: true });
		expect(faults(await open(), release(9), [])).toEqual(["E_TRUST_STATE"]);
	});
});

describe("a planned rollback", () => {
	const plan = (from: number, to: number) => chain.add("rollback", { from: id(from), to: id(to), version: "1.3" });
	const accepted = async () => {
		const ledger = await boxWith(release(5), [bundle(5)]);
		await chain.write(content);
		await ledger.accept(content);
		return ledger;
	};

	test("allows exactly its release in place of exactly the other, bundles included", async () => {
		await plan(5, 3);
		const ledger = await accepted();
		expect(faults(ledger, release(3), [bundle(3)], id(5))).toEqual([]);
		expect(faults(ledger, release(4), [bundle(5)], id(5))).toEqual(["E_ROLLBACK"]);
		expect(faults(ledger, release(3, { to: 33 }), [bundle(5)], id(5))).toEqual(["E_ROLLBACK"]);
	});

	test("is for the release it names, not for the next one", async () => {
		await plan(5, 3);
		const ledger = await accepted();
		await ledger.raise(release(6), [bundle(6)]);
		expect(faults(ledger, release(3), [bundle(3)], id(6))).toEqual(["E_ROLLBACK", "E_ROLLBACK"]);
	});

	test("leaves the floors where they are, and lasts when the store is lost", async () => {
		await plan(5, 3);
		await (await accepted()).raise(release(3), [bundle(3)]);
		expect(faults(await open(), release(4), [], id(3))).toEqual(["E_ROLLBACK"]);
		expect(faults(await open(), release(3), [bundle(3)])).toEqual([]); // nothing is committed any more
		expect(faults(await open(), release(6), [bundle(6)], id(3))).toEqual([]);
	});

	test("one step after another", async () => {
		await plan(5, 3);
		await plan(3, 4);
		const ledger = await accepted();
		expect(faults(ledger, release(4), [bundle(4)], id(3))).toEqual([]);
		expect(faults(ledger, release(2), [bundle(4)], id(3))).toEqual(["E_ROLLBACK", "E_ROLLBACK"]);
	});
});

describe("a floor reset", () => {
	const reset = (sequence: number) =>
		chain.add("floor-reset", {
			products: [{ product: "slipway", sequence }],
			bundles: [{ name: "core", arch: "amd64", fips: true, sequence }],
		});

	test("recovers from a release that was numbered too high (fast-forward)", async () => {
		const ledger = await boxWith(release(2 ** 31 - 1), [bundle(2 ** 31 - 1)]);
		expect(faults(ledger, release(6), [bundle(6)])).toEqual(["E_ROLLBACK", "E_ROLLBACK"]);
		await reset(6);
		await chain.write(content);
		await ledger.accept(content);
		for (const box of [ledger, await open()]) {
			expect(faults(box, release(6), [bundle(6)])).toEqual([]);
			expect(faults(box, release(6, { to: 66 }), [bundle(6)])).toEqual([]);
			expect(faults(box, release(5), [bundle(5)])).toEqual(["E_ROLLBACK", "E_ROLLBACK"]);
		}
	});

	test("counts once: floors that rose later stay", async () => {
		const ledger = await boxWith(release(9), [bundle(9)]);
		await reset(3);
		await chain.write(content);
		await ledger.accept(content);
		await ledger.raise(release(4), [bundle(4)]);
		for (let start = 0; start < 2; start++) {
			const again = await open();
			await again.accept(content);
			expect(faults(again, release(3), [bundle(3)])).toEqual(["E_ROLLBACK", "E_ROLLBACK"]);
			expect(faults(again, release(4, { to: 44 }), [bundle(4)])).toEqual(["E_SEQUENCE_REUSED"]);
		}
	});

	test("has no second effect when another statement comes", async () => {
		const ledger = await boxWith(release(9), []);
		await reset(3);
		await chain.write(content);
		await ledger.accept(content);
		await ledger.raise(release(7), []);
		await chain.add("deny", { keys: [id(1)] });
		await chain.write(content);
		expect(await ledger.accept(content)).toBe(1);
		for (const box of [ledger, await open()]) expect(faults(box, release(6), [])).toEqual(["E_ROLLBACK"]);
	});

	test("never raises a floor, and touches no other", async () => {
		const ledger = await boxWith(release(5), [bundle(5), bundle(5, { name: "extra" })]);
		await reset(8);
		await chain.add("floor-reset", { products: [{ product: "other", sequence: 0 }] });
		await chain.write(content);
		await ledger.accept(content);
		expect(faults(ledger, release(5), [bundle(5)])).toEqual([]);
		expect(faults(ledger, release(5), [bundle(4, { name: "extra" })])).toEqual(["E_ROLLBACK"]);
	});

	test("takes effect after a crash between keeping it and writing the floors", async () => {
		await boxWith(release(9), []);
		await reset(3);
		await mkdir(join(folder, "statements"), { recursive: true });
		await writeFile(join(folder, "statements/1.dsse.json"), chain.list[0]!.bytes);
		expect(faults(await open(), release(3), [])).toEqual([]);
	});

	test("that came before the first release does not lower what came after it", async () => {
		await reset(3);
		await chain.write(content);
		const ledger = await open();
		await ledger.accept(content);
		await ledger.raise(release(9), [bundle(9)]);
		expect(faults(await open(), release(8), [])).toEqual(["E_ROLLBACK"]);
	});
});
