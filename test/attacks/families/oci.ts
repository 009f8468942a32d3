import { createHash } from "node:crypto";
import fc from "fast-check";
import { encodeLayoutIndex } from "../../../bundle/layout.ts";
import { MEDIA_TYPE } from "../../../bundle/oci.ts";
import { nameOf, seededBytes } from "../../support/bundles.ts";
import { layOut, sha256Of } from "../../support/lay-out.ts";
import { type Family, family, pick, place, variant } from "../family.ts";
import { imageParts } from "../images.ts";
import type { Site } from "../site.ts";

/** A15 to A18: images whose parts are not what they are said to be. */

const REF = "a.example/core/one:1";

/** A bundle of one name for this manifest; whatever else it is to hold comes behind. */
function withManifest(
	site: Site,
	value: unknown,
	mediaType: string = MEDIA_TYPE.ociManifest,
	more: readonly { data: Buffer }[] = [],
) {
	const data = Buffer.from(JSON.stringify(value));
	const image = { digest: sha256Of(data), size: data.length, mediaType };
	return site.forge(layOut({ names: [nameOf(REF, image)], blobs: [{ data }, ...more] }));
}

const OTHER_TYPES = fc.constantFrom(
	MEDIA_TYPE.ociIndex,
	MEDIA_TYPE.dockerManifest,
	MEDIA_TYPE.dockerList,
	"application/vnd.oci.image.manifest.v2+json",
	"text/html",
	"",
);

const a15 = family(
	"A15",
	"manifests that are one thing to one reader and another to the next",
	variant(
		"both layers and manifests",
		"E_OCI",
		fc.record({ list: fc.boolean(), n: fc.nat(3) }),
		(site, { list, n }) => {
			const { value, blobs } = imageParts("both");
			const mediaType = list ? MEDIA_TYPE.ociIndex : MEDIA_TYPE.ociManifest;
			return withManifest(site, { ...value, mediaType, manifests: value.layers.slice(0, n) }, mediaType, blobs);
		},
	),
	variant("a type in the body that is not its descriptor's", "E_OCI", OTHER_TYPES, (site, mediaType) => {
		const { value, blobs } = imageParts("type");
		return withManifest(site, { ...value, mediaType }, MEDIA_TYPE.ociManifest, blobs);
	}),
	variant("a descriptor of another type", "E_OCI", OTHER_TYPES, (site, mediaType) => {
		const { value, blobs } = imageParts("descriptor");
		return withManifest(site, value, mediaType, blobs);
	}),
	variant(
		"a Docker type that the body does not have",
		"E_OCI",
		fc.constantFrom(MEDIA_TYPE.dockerManifest, MEDIA_TYPE.dockerList),
		(site, type) => {
			const { mediaType: _, ...value } = imageParts("docker").value;
			return withManifest(site, { ...value, ...(type === MEDIA_TYPE.dockerList ? { manifests: [] } : {}) }, type);
		},
	),
	variant("another schema version", "E_OCI", fc.constantFrom(0, 1, 3, "2", null), (site, schemaVersion) => {
		const { value, blobs } = imageParts("schema");
		return withManifest(site, { ...value, schemaVersion }, MEDIA_TYPE.ociManifest, blobs);
	}),
	variant(
		"a field that is missing or of another kind",
		"E_OCI",
		fc.record({
			field: fc.constantFrom("config", "layers"),
			value: fc.constantFrom(undefined, null, {}, "x", 1, [1]),
		}),
		(site, { field, value }) => {
			const { value: good, blobs } = imageParts("field");
			return withManifest(site, { ...good, [field]: value }, MEDIA_TYPE.ociManifest, blobs);
		},
	),
	variant(
		"a size that is not the index's",
		"E_OCI",
		fc.record({ which: fc.constantFrom("config", "layer"), by: fc.integer({ min: 1, max: 2 ** 40 }) }),
		(site, { which, by }) => {
			const { value, blobs } = imageParts("size");
			const descriptor = which === "config" ? value.config : value.layers[0]!;
			descriptor.size = (descriptor.size as number) + by;
			return withManifest(site, value, MEDIA_TYPE.ociManifest, blobs);
		},
	),
	variant("a negative size", "E_OCI", fc.integer({ min: -(2 ** 40), max: -1 }), (site, size) => {
		const { value, blobs } = imageParts("negative");
		value.layers[0]!.size = size;
		return withManifest(site, value, MEDIA_TYPE.ociManifest, blobs);
	}),
	variant("indexes in indexes", "E_OCI", fc.integer({ min: 9, max: 40 }), (site, depth) => {
		const { manifest, blobs } = imageParts("nested");
		const all = [manifest];
		let mediaType: string = MEDIA_TYPE.ociManifest;
		for (let i = 0; i < depth; i++) {
			const child = { mediaType, digest: sha256Of(all[0]!), size: all[0]!.length };
			mediaType = MEDIA_TYPE.ociIndex;
			all.unshift(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [child] })));
		}
		const image = { digest: sha256Of(all[0]!), size: all[0]!.length, mediaType };
		return site.forge(layOut({ names: [nameOf(REF, image)], blobs: [...all.map((data) => ({ data })), ...blobs] }));
	}),
);

/** Strings that are not a digest, some of which would be a path. */
const noDigest = fc.oneof(
	fc.constantFrom(
		"sha256:../../../../etc/passwd",
		`sha256:${"A".repeat(64)}`,
		`md5:${"a".repeat(32)}`,
		`sha256:${"a".repeat(63)}`,
	),
	fc.constantFrom(
		`sha512:${"a".repeat(64)}`,
		`SHA256:${"a".repeat(64)}`,
		`${"a".repeat(64)}`,
		"",
		"sha256:",
		`sha256:${"a".repeat(64)}\n`,
		`sha256:${"a".repeat(60)}/../`,
	),
	fc
		.string({ maxLength: 80 })
		.map((s) => `sha256:${s}`)
		.filter((s) => !/^sha256:[0-9a-f]{64}$/.test(s)),
);

const a16 = family(
	"A16",
	"digests that are none, and would be a path",
	variant(
		"in the index",
		"E_DIGEST_FORMAT",
		fc.record({ where: fc.constantFrom("blob", "name", "absent"), at: place, digest: noDigest }),
		(site, { where, at, digest }) =>
			site.forge({
				index: (i) => {
					if (where === "blob") i.blobs[pick(at, i.blobs.length)]!.digest = digest;
					else if (where === "name") i.names[pick(at, i.names.length)]!.digest = digest;
					else i.names[pick(at, i.names.length)]!.absent.push(digest);
				},
			}),
	),
	variant(
		"in a manifest",
		"E_DIGEST_FORMAT",
		fc.record({ where: fc.constantFrom("config", "layer", "subject"), digest: noDigest }),
		(site, { where, digest }) => {
			const { value, blobs } = imageParts("digest");
			if (where === "subject") Object.assign(value, { subject: { ...value.config, digest } });
			else (where === "config" ? value.config : value.layers[0]!).digest = digest;
			return withManifest(site, value, MEDIA_TYPE.ociManifest, blobs);
		},
	),
	variant("in index.json", "E_DIGEST_FORMAT", noDigest, (site, digest) => {
		const { manifest, blobs } = imageParts("layout");
		const image = { digest: sha256Of(manifest), size: manifest.length, mediaType: MEDIA_TYPE.ociManifest };
		const names = [nameOf(REF, image)];
		const indexJson = encodeLayoutIndex([{ ...names[0]!, digest }]);
		return site.forge(layOut({ names, blobs: [{ data: manifest }, ...blobs], indexJson }));
	}),
);

const a17 = family(
	"A17",
	"blobs whose bytes are not their digest's",
	variant(
		"one byte",
		"E_DIGEST_MISMATCH",
		fc.record({ blob: place, at: place, by: fc.integer({ min: 1, max: 255 }) }),
		(site, { blob, at, by }) =>
			site.forge({
				tar: (tar) => {
					const { blobs } = site.good.index;
					const { tarOffset, size } = blobs[pick(blob, blobs.length)]!;
					tar[tarOffset + pick(at, size)]! ^= by;
					return tar;
				},
			}),
	),
	variant(
		"one byte of the layout's files",
		"E_DIGEST_MISMATCH",
		fc.record({ file: fc.nat(1), at: place, by: fc.integer({ min: 1, max: 255 }) }),
		(site, { file, at, by }) =>
			site.forge({
				tar: (tar) => {
					const { tarOffset, size } = site.good.index.files[file]!;
					tar[tarOffset + pick(at, size)]! ^= by;
					return tar;
				},
			}),
	),
	variant("zeros from some byte on", "E_DIGEST_MISMATCH", fc.record({ blob: place, at: place }), (site, { blob, at }) =>
		site.forge({
			tar: (tar) => {
				const { blobs } = site.good.index;
				const { tarOffset, size } = blobs[pick(blob, blobs.length)]!;
				return tar.fill(0, tarOffset + pick(at, size - 1), tarOffset + size);
			},
		}),
	),
	variant(
		"a manifest's size, within its padding",
		"E_DIGEST_MISMATCH",
		fc.record({ name: fc.nat(1), by: fc.integer({ min: 1, max: 20 }) }),
		(site, { name, by }) =>
			site.forge({
				index: (i) => {
					i.blobs.find((b) => b.digest === i.names[name]!.digest)!.size += by;
				},
			}),
	),
	variant(
		"other bytes under a right digest",
		"E_DIGEST_MISMATCH",
		fc.record({ seed: fc.string(), sha512: fc.boolean() }),
		(site, { seed, sha512 }) => {
			const { manifest, blobs, value } = imageParts("swap");
			const data = seededBytes(`evil ${seed}`, 700);
			const image = { digest: sha256Of(manifest), size: manifest.length, mediaType: MEDIA_TYPE.ociManifest };
			if (!sha512) {
				const layer = { data, digest: value.layers[0]!.digest as string };
				return site.forge(layOut({ names: [nameOf(REF, image)], blobs: [{ data: manifest }, blobs[0]!, layer] }));
			}
			const digest = `sha512:${createHash("sha512").update(blobs[1]!.data).digest("hex")}`;
			const wide = Buffer.from(JSON.stringify({ ...value, layers: [{ ...value.layers[0], digest }] }));
			const named = { digest: sha256Of(wide), size: wide.length, mediaType: MEDIA_TYPE.ociManifest };
			return site.forge(layOut({ names: [nameOf(REF, named)], blobs: [{ data: wide }, blobs[0]!, { data, digest }] }));
		},
	),
);

const a18 = family(
	"A18",
	"blobs that are missing, or that nothing leads to",
	variant("a blob left out", "E_BLOB_MISSING", fc.constantFrom(0, 1, 2), (site, out) => {
		const { manifest, blobs } = imageParts("missing");
		const image = { digest: sha256Of(manifest), size: manifest.length, mediaType: MEDIA_TYPE.ociManifest };
		const all = [{ data: manifest }, ...blobs].filter((_, i) => i !== out);
		return site.forge(layOut({ names: [nameOf(REF, image)], blobs: all }));
	}),
	variant("a child of an index left out, not called absent", "E_BLOB_MISSING", fc.nat(3), (site, more) => {
		const { manifest, blobs } = imageParts("child");
		const child = (data: Buffer) => ({ mediaType: MEDIA_TYPE.ociManifest, digest: sha256Of(data), size: data.length });
		const away = Array.from({ length: 1 + more }, (_, i) => child(Buffer.from(`away ${i}`)));
		const list = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [child(manifest), ...away] };
		return withManifest(site, list, MEDIA_TYPE.ociIndex, [{ data: manifest }, ...blobs]);
	}),
	variant(
		"a blob that no name leads to",
		"E_INDEX",
		fc.record({ seed: fc.string(), size: fc.nat(4000), at: place }),
		(site, { seed, size, at }) => {
			const { manifest, blobs } = imageParts("extra");
			const image = { digest: sha256Of(manifest), size: manifest.length, mediaType: MEDIA_TYPE.ociManifest };
			const all = [{ data: manifest }, ...blobs];
			all.splice(pick(at, all.length + 1), 0, { data: seededBytes(`extra ${seed}`, size) });
			return site.forge(layOut({ names: [nameOf(REF, image)], blobs: all }));
		},
	),
);

export const ociFamilies: readonly Family[] = [a15, a16, a17, a18];
