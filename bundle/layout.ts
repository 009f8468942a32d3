import { SlipwayError } from "./errors.ts";
import { isDigestIssue, type NameRecord } from "./index-schema.ts";
import { imageIndex, MEDIA_TYPE, OCI_LAYOUT, REF_NAME } from "./oci.ts";
import { parseStrictJson } from "./strict-json.ts";

/** The layout's index.json for these names. The same names give the same bytes. */
export function encodeLayoutIndex(names: readonly NameRecord[]): Buffer {
	const manifests = names.map(({ ref, digest, mediaType, size }) => ({
		mediaType,
		digest,
		size,
		annotations: { [REF_NAME]: ref },
	}));
	return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }));
}

/**
 * Checks the two files of the OCI image layout: the version, and that index.json holds exactly the names of the signed
 * index. A reader of the plain tar then sees the same names as we do. Errors: E_JSON_STRICT, E_DIGEST_FORMAT, E_OCI, E_NAME_SET.
 */
export function checkLayoutFiles(ociLayout: Buffer, indexJson: Buffer, names: readonly NameRecord[]): void {
	if (JSON.stringify(parseStrictJson(ociLayout)) !== OCI_LAYOUT.toString()) {
		throw new SlipwayError("E_OCI", "The oci-layout file is not that of version 1.0.0.");
	}
	const parsed = imageIndex.safeParse(parseStrictJson(indexJson));
	if (!parsed.success) {
		const code = isDigestIssue(parsed.error.issues[0]!) ? "E_DIGEST_FORMAT" : "E_OCI";
		throw new SlipwayError(code, "The layout's index.json is not a valid image index.");
	}
	const key = (ref: string, d: { digest: string; mediaType: string; size: number }) =>
		[ref, d.digest, d.mediaType, d.size].join(" ");
	const signed = new Set(names.map((name) => key(name.ref, name)));
	const found = parsed.data.manifests.map((d) => key(d.annotations?.[REF_NAME] ?? "", d));
	const odd = found.find((k) => !signed.has(k));
	if (odd !== undefined || found.length !== signed.size || new Set(found).size !== found.length) {
		const what = odd === undefined ? "lacks or repeats a name" : `holds ${JSON.stringify(odd.slice(0, 600))}`;
		throw new SlipwayError("E_NAME_SET", `The layout's index.json ${what}; the signed index does not agree.`);
	}
}
