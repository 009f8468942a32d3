import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import type { Facts } from "../../../agent/agent.ts";
import { signatureName } from "../../../bundle/signature-file.ts";
import { applianceKernel } from "../../support/appliance-boot.ts";
import { type Family, family, pick, place, unprintable, variant } from "../family.ts";

/** A22, A23, A25, A26 and A28: releases that are rightly signed, and not this box's, or not what they say. */

const hex64 = fc.stringMatching(/^[0-9a-f]{64}$/);

/** Copies a bundle with its signature file under another name. */
async function add(content: string, path: string, as: string): Promise<void> {
	await copyFile(path, join(content, `${as}.zst`));
	await copyFile(signatureName(path), join(content, `${as}.sig.bin`));
}

const a22 = family(
	"A22",
	"bundles of one release with those of another",
	variant(
		"one more",
		"E_RELEASE_SET",
		fc.record({ which: fc.constantFrom("wide", "other"), as: fc.stringMatching(/^[a-z]{1,8}$/) }),
		async (site, { which, as }) => {
			const content = await site.content();
			await add(content, site[which as "other"].path, as);
			return { content };
		},
	),
	variant("another instead", "E_RELEASE_SET", fc.constantFrom("wide", "other"), async (site, which) => {
		const content = await site.content([site[which as "other"].path]);
		await site.release(content);
		return { content };
	}),
	variant("one of two", "E_RELEASE_SET", fc.constantFrom("good", "other"), async (site, which) => {
		const content = await site.content([site[which as "good"].path]);
		await site.release(content, await site.payload([site.good.path, site.other.path]));
		return { content };
	}),
	variant("the same twice", "E_RELEASE_SET", fc.stringMatching(/^[a-z]{1,8}$/), async (site, as) => {
		const content = await site.content();
		await add(content, site.good.path, as);
		return { content };
	}),
	variant(
		"a release that says other things of it",
		"E_RELEASE_SET",
		fc.record({ key: fc.constantFrom("name", "version"), value: fc.stringMatching(/^[a-z]{1,8}$/) }),
		async (site, { key, value }) => {
			const { bundles } = await site.payload();
			return { content: await site.content(undefined, { bundles: [{ ...bundles[0]!, [key]: `x-${value}` }] }) };
		},
	),
	variant(
		"a bundle that needs one of another release",
		"E_RELEASE_SET",
		fc.array(hex64, { minLength: 1, maxLength: 5 }),
		async (site, requires) => {
			const { bundle } = await site.forge({ index: (i) => void i.requires.push(...requires) });
			return { content: await site.content([bundle]) };
		},
	),
	variant("a bundle named twice", "E_RELEASE", fc.boolean(), async (site, required) => {
		const content = await site.content();
		const payload = await site.payload();
		await site.rawRelease(content, { ...payload, bundles: [payload.bundles[0], { ...payload.bundles[0], required }] });
		return { content };
	}),
);

const DAY = 86_400_000;
const stamp = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;
const anyTime = fc.integer({ min: 0, max: Date.UTC(2099, 11, 31) });

const a23 = family(
	"A23",
	"an old release, again and again: it loads, and nothing that was refused is kept",
	variant("an old date", [], anyTime, async (site, at) => ({
		content: await site.content(undefined, { releasedAt: stamp(at) }),
	})),
	variant("after one that was refused", [], fc.constantFrom("unsigned by us", "another set"), async (site, how) => {
		const content = await site.content();
		const store = join(await site.folder(), "store");
		const bad = await site.content(
			[how === "another set" ? site.other.path : site.good.path],
			{},
			how === "another set" ? site.signer : site.stranger,
		);
		if (how === "another set") await site.release(bad);
		const { answer } = await import("../answer.ts");
		const found = await answer(site, { content: bad, store }, "store");
		if (found.length === 0) throw new Error("what must be refused first was accepted");
		return { content, store };
	}),
);

const a25 = family(
	"A25",
	"a clock that is wrong, or jumps during the load: it loads all the same",
	variant(
		"clock",
		[],
		fc.record({
			clock: fc.array(
				fc.oneof(fc.constantFrom(0, 1, DAY, Date.UTC(2099, 11, 31), Date.UTC(2038, 0, 19, 3, 14, 8)), anyTime),
				{ minLength: 1, maxLength: 12 },
			),
			releasedAt: anyTime,
		}),
		async (site, { clock, releasedAt }) => ({
			content: await site.content(undefined, { releasedAt: stamp(releasedAt) }),
			clock,
		}),
	),
);

const FIPS: Facts = {
	fips: {
		kernelFlag: async () => "1",
		processMaps: async () => "/x/fips.so\n",
		nodeFips: () => 1,
		hash: (algorithm) => {
			if (algorithm === "md5") throw new Error("unsupported");
			return "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
		},
	},
};
const FIPS_BOX = { fips: true, fipsModule: { provider: "p", version: "1", stream: "distribution", certificate: null } };

const a26 = family(
	"A26",
	"content for another machine",
	variant("architecture", "E_TARGET", fc.nat(2 ** 31 - 2), async (site, n) => {
		const arch = process.arch === "arm64" ? "amd64" : "arm64";
		const { bundle } = await site.forge({ index: (i) => void Object.assign(i, { arch, sequence: n + 1 }) });
		return { content: await site.content([bundle]) };
	}),
	variant("a pack of another architecture inside", "E_TARGET", fc.constantFrom("amd64", "arm64"), (site, arch) =>
		site.forge({ index: (i) => void Object.assign(i.packs[0]!, { arch }) }),
	),
	variant(
		"without FIPS, for a FIPS box",
		"E_FIPS_MIX",
		fc.constantFrom("good", "wide", "other"),
		async (site, which) => ({
			content: await site.content([site[which as "good"].path]),
			config: FIPS_BOX,
			facts: FIPS,
		}),
	),
	variant(
		"a pack without FIPS in a bundle that says otherwise",
		"E_FIPS_MIX",
		fc.constantFrom(true, "n/a"),
		(site, fips) => site.forge({ index: (i) => void Object.assign(i, { fips }) }),
	),
	variant(
		"another root image",
		"E_RELEASE_ROOT",
		fc.record({ roots: fc.array(hex64, { minLength: 1, maxLength: 4 }), rootId: hex64 }),
		async (site, { roots, rootId }) => ({
			content: await site.content(undefined, { roots: roots.filter((r) => r !== rootId).concat("0".repeat(64)) }),
			facts: { kernel: applianceKernel(rootId) },
		}),
	),
	variant("a newer agent", "E_FORMAT", fc.stringMatching(/^[1-9][0-9]{0,3}\.[0-9]\.[0-9]$/), async (site, minAgent) => {
		const { bundle } = await site.forge({ index: (i) => void Object.assign(i, { minAgent }) });
		return { content: await site.content([bundle]) };
	}),
);

/** Fields of the signed index that hold text for people. */
const TEXTS = ["product", "minAgent"] as const;
const LISTS = ["productVersions", "cloudTypes", "useCases", "exceptions"] as const;

const a28 = family(
	"A28",
	"text that terminals or browsers would obey",
	variant(
		"in the index",
		"E_TEXT",
		fc.record({ key: fc.constantFrom(...TEXTS, ...LISTS, "licence", "mediaType", "platform"), text: unprintable }),
		(site, { key, text }) =>
			site.forge({
				index: (i) => {
					if (key === "licence") i.packs[0]!.licence = text;
					else if (key === "mediaType") i.names[0]!.mediaType = text;
					else if (key === "platform") i.names[0]!.platforms.push(text);
					else Object.assign(i, { [key]: LISTS.some((l) => l === key) ? [text] : text });
				},
			}),
	),
	variant(
		"in a name of the index",
		"E_INDEX",
		fc.record({ key: fc.constantFrom("name", "version", "ref", "pack"), text: unprintable, at: place }),
		(site, { key, text, at }) =>
			site.forge({
				index: (i) => {
					if (key === "ref") i.names[pick(at, i.names.length)]!.ref = `a.example/${text}:1`;
					else if (key === "pack") i.packs[0]!.name = text;
					else Object.assign(i, { [key]: text });
				},
			}),
	),
	variant(
		"in a release",
		"E_TEXT",
		fc.record({ key: fc.constantFrom("product", "audience"), text: unprintable }),
		async (site, { key, text }) => {
			const content = await site.content();
			await site.rawRelease(content, { ...(await site.payload()), [key]: text });
			return { content };
		},
	),
	variant(
		"in a name of a release",
		"E_RELEASE",
		fc.record({ key: fc.constantFrom("name", "version"), text: unprintable }),
		async (site, { key, text }) => {
			const content = await site.content();
			const payload = await site.payload();
			await site.rawRelease(content, { ...payload, bundles: [{ ...payload.bundles[0], [key]: text }] });
			return { content };
		},
	),
	variant(
		"in a file's name",
		"E_UNSIGNED",
		unprintable.filter((t) => !/[/\0]/.test(t)),
		async (site, text) => {
			const content = await site.content();
			await copyFile(site.good.path, join(content, `${text}.zst`));
			return { content };
		},
	),
);

export const releaseFamilies: readonly Family[] = [a22, a23, a25, a26];
export const textFamilies: readonly Family[] = [a28];
