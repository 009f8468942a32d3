import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { applyAll } from "../../bundle/statements.ts";
import { testSigner, trustOf } from "../../test/support/bundles.ts";
import { keysOf, TestChain } from "../../test/support/statements.ts";
import { tempDir } from "../../test/support/temp.ts";
import { TrustLedger } from "./ledger.ts";

const [root, key, next] = [testSigner(), testSigner(), testSigner()] as const;
const baked = trustOf(key, {}, [root]);
const code = (expected: string, message = "") =>
	expect.objectContaining({ code: expected, message: expect.stringContaining(message) });
const id = (n: number) => n.toString(16).padStart(64, "0");

let folder: string;
let content: string;
let chain: TestChain;
beforeEach(async () => {
	const dir = await tempDir();
	[folder, content, chain] = [join(dir, "state/trust"), join(dir, "content"), new TestChain(root)];
});
const open = (trust = baked) => TrustLedger.open(folder, trust);
describe("kept statements", () => {
	const kept = () => readdir(join(folder, "statements")).catch(() => []);
	beforeEach(async () => {
		await chain.add("rotate", { release: keysOf(1, next) });
		await chain.add("deny", { keys: [key.keyId], indexes: [id(7)], releases: [id(8)] });
	});

	test("are taken once, in order, and are in force at the next start without the medium", async () => {
		await chain.write(content);
		const ledger = await open();
		const before = ledger.trust;
		expect(await ledger.accept(content)).toBe(2);
		const after = ledger.trust;
		expect(after).not.toBe(before);
		expect(await ledger.accept(content)).toBe(0);
		expect(ledger.trust).toBe(after); // nothing that was proved with it is proved anew
		expect(await kept()).toEqual(["1.dsse.json", "2.dsse.json"]);
		await rm(content, { recursive: true });
		for (const box of [ledger, await open()]) {
			expect([...box.trust.release.keys.keys()]).toEqual([next.keyId]);
			expect([...box.trust.release.denyKeys]).toEqual([key.keyId]);
			expect([...box.trust.root!.denyIndexes]).toEqual([id(7), id(8)]);
		}
		expect(await (await open()).accept(content)).toBe(0); // a medium without statements
	});

	test("what stands before a bad one counts, the bad one and what follows do not", async () => {
		await chain.add("deny", { keys: [id(1)] }, [testSigner()]);
		await chain.add("deny", { keys: [id(2)] });
		await chain.write(content);
		const ledger = await open();
		await expect(ledger.accept(content)).rejects.toEqual(code("E_STATEMENT", "Statement 3 (deny)"));
		expect(await readFile(join(folder, "floors.json"), "utf8")).toContain('"statements":2'); // with all that it resets
		expect(await kept()).toEqual(["1.dsse.json", "2.dsse.json"]);
		expect([...(await open()).trust.release.denyKeys]).toEqual([key.keyId]);
	});

	test.each<[string, string, (list: TestChain["list"]) => TestChain["list"] | Promise<TestChain["list"]>]>([
		["a gap", "Statement 1 is missing", (list) => list.slice(1)],
		[
			"a chain of another vendor",
			"does not count",
			async () => [await new TestChain(testSigner()).add("deny", { keys: [id(1)] })],
		],
	])("a medium with %s is refused, and nothing of it is kept", async (_, why, change) => {
		await chain.write(content, await change(chain.list));
		await expect((await open()).accept(content)).rejects.toEqual(code("E_STATEMENT", why));
		expect(await kept()).toEqual([]);
	});

	test("another statement under a known number is refused", async () => {
		await chain.write(content, chain.list.slice(0, 1));
		const ledger = await open();
		await ledger.accept(content);
		const fork = new TestChain(root);
		await fork.add("deny", { keys: [id(1)] });
		await rm(content, { recursive: true });
		await fork.write(content);
		await expect(ledger.accept(content)).rejects.toEqual(code("E_STATEMENT", "two statements 1"));
		expect(ledger.trust.statements).toHaveLength(1);
	});

	test("statements for a box whose image trusts no root keys are refused, not ignored", async () => {
		await chain.write(content);
		await expect((await open(trustOf(key))).accept(content)).rejects.toEqual(code("E_STATEMENT", "no root keys"));
	});

	test.each<[string, (file: string) => Promise<unknown>, string]>([
		[
			"was changed on disk",
			async (f) => writeFile(f, (await readFile(f, "utf8")).replace(/"sig":"..../, '"sig":"AAAA')),
			"E_STATEMENT",
		],
		["was cut", async (f) => writeFile(f, (await readFile(f)).subarray(0, 50)), "E_STATEMENT"],
		["is gone, and a later one is there", (f) => rm(f), "E_STATEMENT"],
		["became a link", (f) => rename(f, `${f}.x`).then(() => symlink(`${f}.x`, f)), "E_STATEMENT"],
		[
			"became another vendor's",
			async (f) => writeFile(f, (await new TestChain(testSigner()).add("deny", { keys: [id(1)] })).bytes),
			"E_STATEMENT",
		],
	])("one that %s refuses everything, and says what to do", async (_, damage, expected) => {
		await chain.write(content);
		await (await open()).accept(content);
		await damage(join(folder, "statements/1.dsse.json"));
		const error = await open().catch((e: unknown) => e);
		expect(error).toEqual(code(expected));
		expect((error as { next: string }).next).toMatch(/insert a medium with all statements/);
		// What it says to do works.
		await rm(join(folder, "statements"), { recursive: true });
		const ledger = await open();
		expect(await ledger.accept(content)).toBe(2);
	});

	test("an image with other root keys does not count what an old one kept", async () => {
		await chain.write(content);
		await (await open()).accept(content);
		await expect(open(trustOf(key, {}, [testSigner()]))).rejects.toEqual(code("E_STATEMENT", "Statement 1"));
	});

	test("what an interrupted writing left behind is no statement", async () => {
		await chain.write(content);
		const ledger = await open();
		await ledger.accept(content);
		await writeFile(join(folder, "statements/3.dsse.json.new"), "half");
		expect((await open()).trust.statements).toHaveLength(2);
	});

	test("the last one is missed when it is gone, until a medium brings it again", async () => {
		await chain.write(content);
		await (await open()).accept(content);
		await rm(join(folder, "statements/2.dsse.json"));
		const ledger = await open();
		const error = await (async () => ledger.trust)().catch((e: unknown) => e);
		expect(error).toEqual(code("E_STATEMENT", "had 2 statements; 1 are left"));
		expect((error as { next: string }).next).toMatch(/medium with all statements/);
		await rename(content, `${content}-away`);
		expect(await ledger.accept(content)).toBe(0); // a medium that does not know it
		expect(() => ledger.trust).toThrow(code("E_STATEMENT"));
		expect(await ledger.accept(`${content}-away`)).toBe(1);
		for (const box of [ledger, await open()]) expect(box.trust.release.denyKeys).toContain(key.keyId);
	});

	test("two folders at once are taken one after the other", async () => {
		await chain.write(content);
		const ledger = await open();
		expect(await Promise.all([ledger.accept(content), ledger.accept(content)])).toEqual([2, 0]);
		expect(ledger.trust.statements).toHaveLength(2);
	});

	test("a statement counts only once it is kept", async () => {
		await chain.write(content);
		const ledger = await open();
		await mkdir(folder, { recursive: true });
		await writeFile(join(folder, "statements"), "in the way");
		await expect(ledger.accept(content)).rejects.toMatchObject({ code: expect.stringMatching(/EEXIST|ENOTDIR/) });
		expect(ledger.trust).toEqual(baked);
	});

	test("a medium may not make the box read without end", async () => {
		const statements = join(content, "statements");
		await mkdir(statements, { recursive: true });
		await writeFile(join(statements, "1.dsse.json"), Buffer.alloc(256 * 1024 + 1, " "));
		await expect((await open()).accept(content)).rejects.toEqual(code("E_LIMIT"));
		await rm(join(statements, "1.dsse.json"));
		// As large as they may be, all under one number: what is held is one of them, what is read has an end.
		const large = Buffer.from(chain.list[0]!.bytes.toString().padEnd(256 * 1024));
		const files = Array.from({ length: 33 }, (_, i) => join(statements, `${i}.dsse.json`));
		await Promise.all(files.map((file) => writeFile(file, large)));
		await expect((await open()).accept(content)).rejects.toEqual(code("E_LIMIT", "8 MiB"));
		await rm(files[32]!);
		expect(await (await open()).accept(content)).toBe(1);
		await Promise.all(files.slice(0, 32).map((file) => rm(file)));
		await Promise.all(Array.from({ length: 2049 }, (_, i) => writeFile(join(statements, `x${i}`), "")));
		await expect((await open()).accept(content)).rejects.toEqual(code("E_LIMIT", "2048"));
	});

	test("statements that the image carries come first; the box keeps them too, for when an older image boots it", async () => {
		await chain.write(content);
		const ledger = await open(applyAll(baked, chain.list.slice(0, 1)));
		expect(await kept()).toEqual(["1.dsse.json"]);
		expect(await ledger.accept(content)).toBe(1);
		for (const image of [baked, applyAll(baked, chain.list)]) {
			expect((await open(image)).trust.release.denyKeys).toContain(key.keyId);
		}
		const fork = await new TestChain(root).add("deny", { keys: [id(1)] });
		await expect(open(applyAll(baked, [fork]))).rejects.toEqual(code("E_STATEMENT", "two statements 1"));
	});
});
