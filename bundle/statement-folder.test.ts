import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { testSigner } from "../test/support/bundles.ts";
import { TestChain } from "../test/support/statements.ts";
import { tempDir } from "../test/support/temp.ts";
import { followingStatements, readStatementFolder } from "./statement-folder.ts";

const root = testSigner();
const id = (c: string) => c.repeat(64);

let folder: string;
let chain: TestChain;
beforeEach(async () => {
	const content = await tempDir();
	[folder, chain] = [join(content, "statements"), new TestChain(root)];
	for (const c of ["a", "b", "c"]) await chain.add("deny", { keys: [id(c)] });
	await chain.write(content);
});
const numbers = async (known: TestChain["list"]) => {
	const given: number[] = [];
	for await (const { statement } of followingStatements(folder, known)) given.push(statement.number);
	return given;
};

test("what follows the known ones is given in order; what is known must be the same", async () => {
	expect(await numbers([])).toEqual([1, 2, 3]);
	expect(await numbers(chain.list.slice(0, 1))).toEqual([2, 3]);
	expect(await numbers(chain.list)).toEqual([]);
	const fork = await new TestChain(root).add("deny", { keys: [id("d")] });
	await expect(numbers([fork])).rejects.toMatchObject({ code: "E_STATEMENT" });
	await rm(folder, { recursive: true });
	expect(await numbers([])).toEqual([]);
});

test.each<[string, (file: string) => Promise<void>]>([
	["exchanged", async (file) => writeFile(file, (await chain.make("deny", { keys: [id("d")] })).bytes)],
	["removed", (file) => rm(file)],
])("a file that is %s after all were looked at is not given", async (_, change) => {
	const given = followingStatements(folder, []);
	expect((await given.next()).value).toMatchObject({ digest: chain.list[0]!.digest });
	await change(join(folder, "98-vendor.dsse.json"));
	await expect(given.next()).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" });
});

test("a file that is no statement is named", async () => {
	await writeFile(join(folder, "x.dsse.json"), "{}");
	await expect(readStatementFolder(folder)).rejects.toThrow(/x\.dsse\.json: /);
});
