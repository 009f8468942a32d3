import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { signEnvelope } from "../../../bundle/dsse.ts";
import { PAYLOAD_TYPE } from "../../../bundle/index-schema.ts";
import { encodeLayoutIndex } from "../../../bundle/layout.ts";
import { MEDIA_TYPE, OCI_LAYOUT } from "../../../bundle/oci.ts";
import { nameOf } from "../../support/bundles.ts";
import { layOut, sha256Of } from "../../support/lay-out.ts";
import { type Family, family, pick, place, variant } from "../family.ts";
import { imageParts } from "../images.ts";
import type { Site } from "../site.ts";

/** A13 and A14: JSON that readers take differently, or choke on, in every document there is. */

type Poison = (json: string) => Buffer;

/** Every place where JSON of a stranger is read. The signatures are right unless it is the envelope that is poisoned. */
const DOCUMENTS: Record<string, (site: Site, poison: Poison) => Promise<{ bundle: string } | { content: string }>> = {
	index: (site, poison) => site.forge({ payload: (p) => poison(p.toString()) }),
	envelope: (site, poison) => site.forge({ envelope: (e) => poison(e.toString()) }),
	manifest: async (site, poison) => {
		const { blobs, manifest } = imageParts("poison");
		const data = poison(manifest.toString());
		const image = { digest: sha256Of(data), size: data.length, mediaType: MEDIA_TYPE.ociManifest };
		const names = [nameOf("a.example/core/one:1", image)];
		return site.forge(layOut({ names, blobs: [{ data }, ...blobs] }));
	},
	"index.json": async (site, poison) => {
		const { blobs, manifest } = imageParts("poison");
		const image = { digest: sha256Of(manifest), size: manifest.length, mediaType: MEDIA_TYPE.ociManifest };
		const names = [nameOf("a.example/core/one:1", image)];
		const indexJson = poison(encodeLayoutIndex(names).toString());
		return site.forge(layOut({ names, blobs: [{ data: manifest }, ...blobs], indexJson }));
	},
	"oci-layout": (site, poison) => {
		const { blobs, manifest } = imageParts("poison");
		const image = { digest: sha256Of(manifest), size: manifest.length, mediaType: MEDIA_TYPE.ociManifest };
		const names = [nameOf("a.example/core/one:1", image)];
		const ociLayout = poison(OCI_LAYOUT.toString());
		return site.forge(layOut({ names, blobs: [{ data: manifest }, ...blobs], ociLayout }));
	},
	release: async (site, poison) => {
		const content = await site.content();
		const payload = poison(JSON.stringify(await site.payload()));
		const envelope = await signEnvelope(PAYLOAD_TYPE.contentRelease, payload, site.signer);
		await writeFile(join(content, "release.dsse.json"), JSON.stringify(envelope));
		return { content };
	},
	"release envelope": async (site, poison) => {
		const content = await site.content();
		const payload = Buffer.from(JSON.stringify(await site.payload()));
		const envelope = await signEnvelope(PAYLOAD_TYPE.contentRelease, payload, site.signer);
		await writeFile(join(content, "release.dsse.json"), poison(JSON.stringify(envelope)));
		return { content };
	},
};
const document = fc.constantFrom(...Object.keys(DOCUMENTS));

/** One more member at the start of the document's object. */
const member =
	(text: string): Poison =>
	(json) =>
		Buffer.from(json.replace("{", () => `{${text},`));

const a13 = family(
	"A13",
	"JSON that is nested too deep",
	variant(
		"nesting",
		"E_JSON_STRICT",
		fc.record({
			document,
			depth: fc.oneof(fc.integer({ min: 32, max: 60 }), fc.integer({ min: 32, max: 3000 })),
			brackets: fc.constantFrom(["[", "]"], ['{"a":', "}"], ['[{"a":', "}]"]),
			closed: fc.boolean(),
		}),
		(site, { document, depth, brackets: [open, close], closed }) =>
			DOCUMENTS[document]!(
				site,
				member(`"x":${open!.repeat(depth)}${open!.endsWith(":") ? 1 : ""}${closed ? close!.repeat(depth) : ""}`),
			),
	),
	variant(
		"nesting that would overflow a stack",
		"E_JSON_STRICT",
		fc.constantFrom("index", "release", "manifest"),
		(site, name) => DOCUMENTS[name]!(site, member(`"x":${"[".repeat(200_000)}${"]".repeat(200_000)}`)),
	),
);

const firstKey = (json: string) => /^\{"([^"]+)"/.exec(json)![1]!;
const escaped = (key: string, at: number) => {
	const i = pick(at, key.length);
	return `${key.slice(0, i)}\\u${key.charCodeAt(i).toString(16).padStart(4, "0")}${key.slice(i + 1)}`;
};
const poisons: fc.Arbitrary<{ what: string; poison: Poison }> = fc.oneof(
	fc.constantFrom("1", "null", "{}", '"x"').map((v) => ({
		what: `first key twice, ${v}`,
		poison: (json: string) => member(`"${firstKey(json)}":${v}`)(json),
	})),
	place.map((at) => ({
		what: `first key twice, escaped ${at}`,
		poison: (json: string) => member(`"${escaped(firstKey(json), at)}":1`)(json),
	})),
	fc
		.constantFrom(
			...[
				"9007199254740992",
				"9007199254740993",
				"-9007199254740992",
				"1e3",
				"1.0",
				"0.1",
				"01",
				"+1",
				"NaN",
				"Infinity",
				"-Infinity",
			],
			...[
				"0x10",
				"1_000",
				"'a'",
				"undefined",
				'"\\ud800"',
				'"\\udc00\\ud800"',
				'"\\x41"',
				'"a\nb"',
				'"\t"',
				'"a',
				"[1,]",
				"{,}",
			],
			...["/* */1", "1//", "True", "1 1", "[1 2]", '{"a" 1}', "{a:1}", "", "-", "tru", String.raw`"\u12"`],
		)
		.map((v) => ({ what: `value ${v}`, poison: member(`"zz":${v}`) })),
	fc.constant({ what: "__proto__", poison: member('"__proto__":{"isAdmin":1}') }),
	fc.constant({ what: "__proto__, escaped", poison: member('"\\u005f_proto__":1') }),
	fc.constant({ what: "a byte order mark", poison: (json: string) => Buffer.from(`\ufeff${json}`) }),
	fc.constant({ what: "UTF-16", poison: (json: string) => Buffer.from(json, "utf16le") }),
	fc
		.constantFrom("x", "{}", "\0", ",", "}", "\u00a0")
		.map((more) => ({ what: `behind it ${more}`, poison: (json: string) => Buffer.from(json + more) })),
	fc.constantFrom("80", "c0af", "eda080", "f5808080", "ff").map((hex) => ({
		what: `bytes ${hex}`,
		poison: (json: string) =>
			Buffer.concat([Buffer.from('{"zz":"'), Buffer.from(hex, "hex"), Buffer.from(`",${json.slice(1)}`)]),
	})),
	place.map((at) => ({
		what: `cut ${at}`,
		poison: (json: string) => Buffer.from(json.slice(0, pick(at, json.length))),
	})),
);

const a14 = family(
	"A14",
	"JSON that two readers would take for different things",
	variant("poison", "E_JSON_STRICT", fc.record({ document, poison: poisons }), (site, { document, poison }) =>
		DOCUMENTS[document]!(site, poison.poison),
	),
);

export const jsonFamilies: readonly Family[] = [a13, a14];
