import { expect, test } from "vitest";
import { testSigner, trustOf } from "../test/support/bundles.ts";
import { keysOf, signBytes, TestChain } from "../test/support/statements.ts";
import { MAX_SIGNATURES, signEnvelope } from "./dsse.ts";
import { PAYLOAD_TYPE } from "./index-schema.ts";
import {
	applyAll,
	applyStatement,
	MAX_CHAIN,
	MAX_STATEMENT,
	MAX_STATEMENTS,
	makeStatement,
	newStatements,
	parseStatement,
	type UnverifiedStatement,
} from "./statements.ts";
import type { Trust } from "./trust.ts";

const [r1, r2, r3, r4] = [testSigner(), testSigner({ curve: "P-384" }), testSigner(), testSigner()] as const;
const [k1, k2] = [testSigner(), testSigner()] as const;
const baked = trustOf(k1, {}, [r1]);
const twoOfThree: Trust = { ...baked, root: { ...trustOf([r1, r2, r3]).release, threshold: 2 } };
const id = (c: string) => c.repeat(64);
const code = (expected: string, message = "") =>
	expect.objectContaining({ code: expected, message: expect.stringContaining(message) });

type Scenario = [what: string, trust: Trust, make: (chain: TestChain) => Promise<UnverifiedStatement>, why: string];
const deny = { keys: [id("a")] };

test.each<Scenario>([
	["no root keys in the store", trustOf(k1), (c) => c.make("deny", deny, [r1]), "no root keys"],
	["signed by nobody known", baked, (c) => c.make("deny", deny, [r2]), "No trusted key"],
	["signed by a release key", baked, (c) => c.make("deny", deny, [k1]), "No trusted key"],
	["one signature of two", twoOfThree, (c) => c.make("deny", deny, [r1]), "2 must"],
	["one key twice", twoOfThree, (c) => c.make("deny", deny, [r1, r1]), "2 must"],
	["not the next number", baked, (c) => c.make("deny", deny, [r1], { number: 2 }), "1 must come first"],
	["after another chain", baked, (c) => c.make("deny", deny, [r1], { previous: id("b") }), "follows another"],
	[
		"root rotated by the old keys alone",
		baked,
		(c) => c.make("rotate", { root: keysOf(1, r2) }, [r1]),
		"No trusted key",
	],
	[
		"root rotated by the new keys alone",
		baked,
		(c) => c.make("rotate", { root: keysOf(1, r2) }, [r2]),
		"No trusted key",
	],
	[
		"root rotated below the new threshold",
		baked,
		(c) => c.make("rotate", { root: keysOf(2, r2, r3) }, [r1, r2]),
		"2 must",
	],
	["threshold beyond the keys", baked, (c) => c.make("rotate", { release: keysOf(2, k2) }, [r1]), "asks for 2"],
	["one key named twice", baked, (c) => c.make("rotate", { release: keysOf(2, k2, k2) }, [r1]), "twice"],
	["one key in both roles", baked, (c) => c.make("rotate", { release: keysOf(1, r1) }, [r1]), "both roles"],
	["the last root key denied", baked, (c) => c.make("deny", { keys: [r1.keyId] }, [r1]), "too few root keys"],
])("does not count: %s", async (_, trust, make, why) => {
	const item = await make(new TestChain(r1));
	expect(() => applyStatement(trust, item)).toThrow(code("E_STATEMENT", why));
	expect(() => applyStatement(trust, item)).toThrow(code("E_STATEMENT", `Statement ${item.statement.number} (`));
});

test("a forged payload under a real signature, and a weak key in a rotation", async () => {
	const item = await new TestChain(r1).make("deny", deny);
	const other = Buffer.from(item.payload.toString().replace(id("a"), id("b")));
	const envelope = { ...item.envelope, payload: other.toString("base64") };
	const forged = parseStatement(Buffer.from(JSON.stringify(envelope)));
	expect(() => applyStatement(baked, forged)).toThrow(code("E_STATEMENT", "not valid"));
	const weak = await new TestChain(r1).make("rotate", { release: { threshold: 1, keys: ["hello"] } });
	expect(() => applyStatement(baked, weak)).toThrow(code("E_STATEMENT", "exactly one public key"));
});

test("release keys rotate, with a new threshold, and a development key stays one", async () => {
	const chain = new TestChain(r1);
	const dev = testSigner({ development: true });
	await chain.add("rotate", { release: keysOf(2, k2, dev) });
	const trust = applyAll(baked, chain.list);
	expect([...trust.release.keys]).toMatchObject([
		[k2.keyId, { development: false }],
		[dev.keyId, { development: true }],
	]);
	expect(trust.release.threshold).toBe(2);
	expect(trust.root).toEqual(baked.root);
	expect(baked.release.keys.has(k1.keyId)).toBe(true);
});

test("root keys rotate with old and new thresholds, and only the new ones sign what follows", async () => {
	const chain = new TestChain(r1, r2);
	await chain.add("rotate", { root: keysOf(2, r3, r4) }, [r1, r2, r3, r4]);
	const trust = applyAll(twoOfThree, chain.list);
	const next = (...by: (typeof r1)[]) => chain.make("deny", deny, by);
	for (const by of [[r1, r2], [r1, r3], [r3]]) {
		const item = await next(...by);
		expect(() => applyStatement(trust, item)).toThrow(code("E_STATEMENT"));
	}
	expect(applyStatement(trust, await next(r3, r4)).statements).toHaveLength(2);
});

test("the denylist only grows, through rotations too, and covers both roles", async () => {
	const chain = new TestChain(r1, r2);
	await chain.add("deny", { keys: [r3.keyId, k1.keyId], indexes: [id("1")] });
	await chain.add("rotate", { release: keysOf(1, k2), root: keysOf(1, r1, r2) });
	await chain.add("deny", { releases: [id("2")] });
	const trust = applyAll(twoOfThree, chain.list);
	for (const role of [trust.release, trust.root!]) {
		expect([...role.denyKeys]).toEqual([r3.keyId, k1.keyId]);
		expect([...role.denyIndexes]).toEqual([id("1"), id("2")]);
	}
	const back = await chain.make("rotate", { release: keysOf(1, k1) });
	expect(() => applyStatement(trust, back)).toThrow(code("E_STATEMENT", "denied"));
	const rootBack = await chain.make("rotate", { root: keysOf(1, r3) }, [r1, r3]);
	expect(() => applyStatement(trust, rootBack)).toThrow(code("E_STATEMENT", "revoked"));
	// All release keys may be denied: nothing is loaded then until a rotation brings new ones.
	await chain.add("deny", { keys: [k2.keyId] });
	expect(applyAll(trust, chain.list).release.denyKeys).toContain(k2.keyId);
});

test("a chain is read in the order of its numbers; gaps and forks are refused", async () => {
	const chain = new TestChain(r1);
	for (const c of ["1", "2", "3", "4"]) await chain.add("deny", { indexes: [id(c)] });
	const [one, two, three, four] = chain.list as [
		UnverifiedStatement,
		...UnverifiedStatement[],
	] as UnverifiedStatement[];
	const trust = applyAll(baked, [four!, two!, one!, three!]);
	expect(trust.statements.map((s) => s.statement.number)).toEqual([1, 2, 3, 4]);
	expect(newStatements(trust, chain.list)).toEqual([]);
	expect(newStatements(trust, [one!, one!])).toEqual([]);
	expect(() => newStatements(baked, [one!, three!])).toThrow(code("E_STATEMENT", "Statement 2 is missing; 3"));
	expect(() => newStatements(baked, [two!])).toThrow(code("E_STATEMENT", "Statement 1 is missing"));
	const twin = await new TestChain(r1).add("deny", { indexes: [id("9")] });
	expect(() => newStatements(trust, [twin])).toThrow(code("E_STATEMENT", "two statements 1"));
	expect(() => newStatements(baked, [one!, twin])).toThrow(code("E_STATEMENT", "two statements 1"));
	// The same payload signed once more is the same statement.
	expect(newStatements(trust, [parseStatement(await signBytes(one!.payload, [r1, r2]))])).toEqual([]);
});

test.each<[string, object]>([
	["E_FORMAT", { format: 2 }],
	["E_FORMAT", { critical: ["x"] }],
	["E_STATEMENT", { more: 1 }],
	["E_STATEMENT", { kind: "pardon" }],
	["E_STATEMENT", { number: 0 }],
	["E_STATEMENT", { previous: "x" }],
	["E_STATEMENT", { keys: [], indexes: [], releases: [] }],
	["E_STATEMENT", { keys: ["../x"] }],
	["E_TEXT", { reason: "\u001b[2J" }],
	["E_LIMIT", { keys: Array(1001).fill(id("a")) }],
])("is refused as it stands: %s %j", async (expected, change) => {
	await expect(new TestChain(r1).make("deny", deny, [r1], change)).rejects.toEqual(code(expected));
});

test("size and signatures have limits; another kind of document does not pass for a statement", async () => {
	expect(() => parseStatement(Buffer.alloc(MAX_STATEMENT + 1, " "))).toThrow(code("E_LIMIT"));
	const item = await new TestChain(r1).make("deny", deny);
	const many = signBytes(item.payload, Array(MAX_SIGNATURES + 1).fill(r1));
	expect(() => applyStatement(baked, item)).not.toThrow();
	const bytes = await many;
	expect(() => parseStatement(bytes)).toThrow(code("E_LIMIT"));
	const full = { ...baked, statements: Array(MAX_STATEMENTS).fill(item) };
	const further = await new TestChain(r1).make("deny", deny, [r1], {
		number: MAX_STATEMENTS + 1,
		previous: item.digest,
	});
	expect(() => applyStatement(full, further)).toThrow(code("E_LIMIT"));
	const second = await new TestChain(r1).make("deny", deny, [r1], { number: 2, previous: item.digest });
	const after = (bytes: Buffer): Trust => ({ ...baked, statements: [{ ...item, bytes }] });
	const room = MAX_CHAIN - second.bytes.length;
	expect(() => applyStatement(after(Buffer.alloc(room)), second)).not.toThrow();
	expect(() => applyStatement(after(Buffer.alloc(room + 1)), second)).toThrow(code("E_LIMIT", "8 MiB"));
	const typed = await signEnvelope(PAYLOAD_TYPE.contentRelease, item.payload, r1);
	const wrong = parseStatement(Buffer.from(JSON.stringify(typed)));
	expect(() => applyStatement(baked, wrong)).toThrow(code("E_STATEMENT", "type"));
});

test("what the builder makes, the box takes", async () => {
	const statement = (await new TestChain(r1).make("rotate", { release: keysOf(1, k2) })).statement;
	expect(applyStatement(baked, parseStatement(await makeStatement(statement, r1))).statements).toHaveLength(1);
	await expect(makeStatement({ ...statement, number: 0 }, r1)).rejects.toEqual(code("E_STATEMENT"));
});
