import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import { sha256Hex } from "../../bundle/digest.ts";
import { type DetachedEnvelope, verifyEnvelope } from "../../bundle/dsse.ts";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { type BundleIndex, type ContentRelease, PAYLOAD_TYPE } from "../../bundle/index-schema.ts";
import { openBundle } from "../../bundle/reader.ts";
import { signatureName } from "../../bundle/signature-file.ts";
import type { Trust } from "../../bundle/trust.ts";
import { slipwayErrors } from "../status/state.ts";

/** A bundle file whose signed index is verified; its frames and its whole-file signature are not yet. */
export interface Candidate {
	readonly path: string;
	readonly file: string;
	readonly index: BundleIndex;
	readonly indexDigest: string;
	readonly payload: Buffer;
	readonly envelope: DetachedEnvelope;
}

/**
 * Finds the release's bundles in the content folder by their index digests, never by file names. A bundle file that is not
 * in the release refuses the set, as does a required bundle that is missing; every fault is told at once.
 * Errors: E_MEDIA, E_UNSIGNED, E_DENIED, E_RELEASE_SET and those of reading an index.
 */
export async function findCandidates(content: string, release: ContentRelease, trust: Trust): Promise<Candidate[]> {
	const files = await bundleFiles(content);
	if (files.length === 0) throw new SlipwayError("E_MEDIA", `There are no bundles in ${content}.`);
	const found: Candidate[] = [];
	const faults: SlipwayError[] = [];
	let unreadable = 0;
	for (const file of files) {
		try {
			unreadable++;
			const candidate = await readCandidate(content, file, trust);
			unreadable--;
			const twin = found.find((other) => other.indexDigest === candidate.indexDigest);
			if (twin) throw new SlipwayError("E_RELEASE_SET", `${file} and ${twin.file} are the same bundle.`);
			if (!release.bundles.some((bundle) => bundle.indexDigest === candidate.indexDigest)) {
				throw new SlipwayError("E_RELEASE_SET", `${file} is not in the content release ${release.version}.`);
			}
			found.push(candidate);
		} catch (error) {
			faults.push(...slipwayErrors(error));
		}
	}
	for (const bundle of release.bundles) {
		// One that is missing may be one that could not be read: that has been told.
		if (
			unreadable === 0 &&
			bundle.required &&
			!found.some((candidate) => candidate.indexDigest === bundle.indexDigest)
		) {
			faults.push(
				new SlipwayError("E_RELEASE_SET", `The required bundle ${bundle.name} ${bundle.version} is missing.`),
			);
		}
	}
	if (faults.length > 0) throw new SlipwayErrors(faults, "The content is not the release's.");
	return found;
}

/** Names of the bundle files in the content folder, sorted; none when there is no such folder. */
export async function bundleFiles(content: string): Promise<string[]> {
	return (await readdir(content).catch(() => [])).filter((file) => file.endsWith(".zst")).sort();
}

async function readCandidate(content: string, file: string, trust: Trust): Promise<Candidate> {
	const path = join(content, file);
	await access(signatureName(path)).catch(() => {
		throw new SlipwayError("E_UNSIGNED", `${file} has no signature file ${signatureName(file)}.`);
	});
	const bundle = await openBundle(path, {
		authenticate: (payload, envelope) => void authenticateIndex(payload, envelope, trust),
	});
	await bundle.close();
	const { index, indexDigest, payload, envelope } = bundle;
	return { path, file, index, indexDigest, payload, envelope };
}

/**
 * Refuses an index that no trusted key signed, or that is on the denylist; gives its digest.
 * Errors: those of verifyEnvelope, E_DENIED.
 */
export function authenticateIndex(payload: Buffer, envelope: DetachedEnvelope, trust: Trust): string {
	verifyEnvelope(envelope, payload, PAYLOAD_TYPE.bundleIndex, trust.release);
	const indexDigest = sha256Hex(payload);
	if (trust.release.denyIndexes.has(indexDigest)) {
		throw new SlipwayError("E_DENIED", `The bundle with index ${indexDigest} is on the denylist.`);
	}
	return indexDigest;
}
