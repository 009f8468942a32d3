import { join } from "node:path";
import fc from "fast-check";
import type { ContentRelease } from "../../../bundle/index-schema.ts";
import { keysOf, TestChain } from "../../support/statements.ts";
import { answer } from "../answer.ts";
import { type Family, family, variant } from "../family.ts";
import type { Site } from "../site.ts";

/** A21 and A24: older content on a box that has had newer, and what would block every later release. */

/** A store in which a release with this sequence is committed, of a bundle with that one. */
async function used(site: Site, sequence: number, bundleSequence = 1): Promise<string> {
	const store = join(await site.folder(), "store");
	const content = await older(site, { sequence }, bundleSequence);
	const found = await answer(site, { content, store }, "store");
	if (found.length > 0) throw new Error(`the first release was refused: ${found}`);
	return store;
}

/** A content folder with the good bundle, but for its sequence. */
async function older(site: Site, change: Partial<ContentRelease>, bundleSequence = 1): Promise<string> {
	const { bundle } = await site.forge({ index: (i) => void Object.assign(i, { sequence: bundleSequence }) });
	return site.content([bundle], change);
}

const HIGHEST = 2 ** 31 - 1;
/** Two sequence numbers, the second one lower. */
const falling = fc
	.tuple(fc.integer({ min: 1, max: HIGHEST }), fc.integer({ min: 1, max: HIGHEST }))
	.filter(([a, b]) => a !== b)
	.map(([a, b]) => ({ had: Math.max(a, b), offered: Math.min(a, b) }));

const a21 = family(
	"A21",
	"older content than the box has had, or other content under the same number",
	variant("a release", "E_ROLLBACK", falling, async (site, { had, offered }) => ({
		store: await used(site, had),
		content: await older(site, { sequence: offered }),
		authentic: true,
	})),
	variant("a bundle in a newer release", "E_ROLLBACK", falling, async (site, { had, offered }) => ({
		store: await used(site, 1, had),
		content: await older(site, { sequence: 2 }, offered),
		authentic: true,
	})),
	variant(
		"another release of the same number",
		"E_SEQUENCE_REUSED",
		fc.record({ sequence: fc.integer({ min: 1, max: HIGHEST }), audience: fc.stringMatching(/^[a-z]{1,8}$/) }),
		async (site, { sequence, audience }) => ({
			store: await used(site, sequence),
			content: await older(site, { sequence, audience: `x-${audience}` }),
			authentic: true,
		}),
	),
	variant(
		"another bundle of the same number",
		"E_SEQUENCE_REUSED",
		fc.stringMatching(/^[a-z]{1,8}$/),
		async (site, product) => {
			const { bundle } = await site.forge({ index: (i) => void Object.assign(i, { product: `x-${product}` }) });
			return { store: await used(site, 1), content: await site.content([bundle], { sequence: 2 }), authentic: true };
		},
	),
);

const farNumbers = fc.oneof(
	fc.constantFrom(2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER),
	fc.integer({ min: 2 ** 31, max: Number.MAX_SAFE_INTEGER }),
	fc.integer({ min: Number.MIN_SAFE_INTEGER, max: 0 }),
);

/** Statements that must not count, beside good content. The box's root key is the site's P-384 one. */
const BAD_STATEMENTS: Record<string, (site: Site, chain: TestChain) => Promise<unknown>> = {
	"by a release key": (site, chain) => chain.add("floor-reset", reset, [site.signer]),
	"by a stranger": (site, chain) => chain.add("floor-reset", reset, [site.stranger]),
	"a rotation by a release key": (site, chain) =>
		chain.add("rotate", { release: keysOf(1, site.stranger) }, [site.signer]),
	"a rotation of the root by strangers alone": (site, chain) =>
		chain.add("rotate", { root: keysOf(1, site.stranger) }, [site.stranger]),
	"a rotation of the root without the new keys": (site, chain) => chain.add("rotate", { root: keysOf(1, site.rsa) }),
	"one that is not the first": (_, chain) => chain.add("floor-reset", reset, undefined, { number: 2 }),
	"one that follows another chain": (_, chain) =>
		chain.add("floor-reset", reset, undefined, { previous: "a".repeat(64) }),
	"two of one number": async (_, chain) => {
		await chain.add("floor-reset", reset);
		await chain.add("deny", { keys: ["b".repeat(64)] }, undefined, { number: 1, previous: null });
	},
	"the second without the first": async (_, chain) => {
		await chain.add("floor-reset", reset);
		await chain.add("deny", { keys: ["b".repeat(64)] });
		chain.list.shift();
	},
};
const reset = { products: [{ product: "slipway", sequence: 0 }], bundles: [] };

const a24 = family(
	"A24",
	"sequence numbers that would block every later release, and statements that nobody may make",
	variant("of a release", "E_RELEASE", farNumbers, async (site, sequence) => {
		const content = await site.content();
		await site.rawRelease(content, { ...(await site.payload()), sequence });
		return { content };
	}),
	variant("of a bundle", "E_INDEX", farNumbers, (site, sequence) =>
		site.forge({ index: (i) => void Object.assign(i, { sequence }) }),
	),
	variant("a statement", "E_STATEMENT", fc.constantFrom(...Object.keys(BAD_STATEMENTS)), async (site, how) => {
		const chain = new TestChain(site.second);
		await BAD_STATEMENTS[how]!(site, chain);
		const content = await site.content();
		await chain.write(content);
		return { content, trust: { keys: [site.signer], root: site.second } };
	}),
);

export const rollbackFamilies: readonly Family[] = [a21, a24];
