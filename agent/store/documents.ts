import { sha256Hex } from "../../bundle/digest.ts";
import { parseDetachedEnvelope, parseEnvelope } from "../../bundle/dsse.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { parseDocument, parseIndex } from "../../bundle/index-check.ts";
import { type BundleIndex, type ContentRelease, contentRelease } from "../../bundle/index-schema.ts";
import type { Store } from "./store.ts";

/**
 * The store's signed documents as data: whole, and the ones that the catalog means. Their signatures are not checked, so what
 * comes from here decides nothing; what is served is proved by openCommitted. Errors: E_DIGEST_MISMATCH, those of parsing
 * and of reading files.
 */
export async function readStoredRelease(store: Store, digest: string): Promise<ContentRelease> {
	const { payload } = parseEnvelope(await store.readSigned(`${digest}.release.json`));
	expectDigest(payload, digest);
	return parseDocument(payload, contentRelease, "content release", "E_RELEASE");
}

/** As readStoredRelease. */
export async function readStoredIndex(store: Store, digest: string): Promise<BundleIndex> {
	parseDetachedEnvelope(await store.readSigned(`${digest}.envelope.json`));
	const payload = await store.readSigned(`${digest}.index.json`);
	expectDigest(payload, digest);
	return parseIndex(payload);
}

function expectDigest(payload: Buffer, digest: string): void {
	if (sha256Hex(payload) !== digest) throw new SlipwayError("E_DIGEST_MISMATCH", "Its bytes have another digest.");
}
