import fc from "fast-check";
import { encodeLayoutIndex } from "../../../bundle/layout.ts";
import { MEDIA_TYPE } from "../../../bundle/oci.ts";
import { nameOf } from "../../support/bundles.ts";
import { layOut, sha256Of } from "../../support/lay-out.ts";
import { type Family, family, variant } from "../family.ts";
import { imageParts } from "../images.ts";

/** A20: names that lead elsewhere than the signed index says. That nothing can be written is for the real agent to show. */

const a20 = family(
	"A20",
	"names in metadata that are not the signed ones",
	variant(
		"in index.json",
		"E_NAME_SET",
		fc.record({
			how: fc.constantFrom("moved", "renamed", "one more", "one less", "twice"),
			tag: fc.stringMatching(/^[a-z0-9]{1,10}$/),
		}),
		(site, { how, tag }) => {
			const one = imageParts("tag one");
			const two = imageParts("tag two");
			const image = (m: Buffer) => ({ digest: sha256Of(m), size: m.length, mediaType: MEDIA_TYPE.ociManifest });
			const names = [
				nameOf("a.example/core/one:x", image(one.manifest)),
				nameOf("a.example/core/two:x", image(two.manifest)),
			];
			const evil = nameOf(`a.example/core/evil:${tag}`, image(two.manifest));
			const poisoned = {
				moved: [{ ...names[0]!, ...image(two.manifest) }, names[1]!],
				renamed: [evil, names[1]!],
				"one more": [...names, evil],
				"one less": names.slice(1),
				twice: [...names, names[0]!],
			}[how]!;
			const blobs = [{ data: one.manifest }, ...one.blobs, { data: two.manifest }, two.blobs[1]!];
			return site.forge(layOut({ names, blobs, indexJson: encodeLayoutIndex(poisoned) }));
		},
	),
	variant("in the signed index alone", "E_NAME_SET", fc.nat(1), (site, i) =>
		site.forge({
			index: (index) => {
				index.names[i]!.digest = index.names[1 - i]!.digest;
			},
		}),
	),
);

export const nameFamilies: readonly Family[] = [a20];
