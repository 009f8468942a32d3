import { type DetachedEnvelope, parseDetachedEnvelope } from "./dsse.ts";
import { SlipwayError } from "./errors.ts";
import { readSmall } from "./read.ts";

/** Size of a file of further signatures, at most: that of an envelope. */
const MAX_FILE = 64 * 1024;

/** Name of the file that may hold further signatures over a bundle's index: a trailing `.zst` is dropped, `.sigs.json` added. */
export function furtherName(bundle: string): string {
	return `${bundle.endsWith(".zst") ? bundle.slice(0, -".zst".length) : bundle}.sigs.json`;
}

/** Reads the further signatures beside a bundle; none when there is no such file. Errors: E_LIMIT, E_IO, those of parseDetachedEnvelope. */
export async function readFurther(bundle: string): Promise<DetachedEnvelope | undefined> {
	const bytes = await readSmall(furtherName(bundle), MAX_FILE);
	return bytes === undefined ? undefined : parseDetachedEnvelope(bytes);
}

/**
 * Both envelopes' signatures as one; what stands in both counts once. How many there may be is checked where they are verified.
 * Errors: E_SIG_CONTEXT.
 */
export function joinSignatures(own: DetachedEnvelope, further: DetachedEnvelope | undefined): DetachedEnvelope {
	if (further === undefined) return own;
	if (further.payloadType !== own.payloadType) {
		throw new SlipwayError("E_SIG_CONTEXT", `The further signatures are for ${JSON.stringify(further.payloadType)}.`);
	}
	const seen = new Set<string>();
	const signatures = [...own.signatures, ...further.signatures].filter(
		({ keyid, sig }) => seen.size !== seen.add(`${keyid} ${sig}`).size,
	);
	return { ...own, signatures };
}
