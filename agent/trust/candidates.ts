import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import type { BundleIndex, ContentRelease } from "../../bundle/index-schema.ts";
import type { Trust } from "../../bundle/trust.ts";
import { type AuthenticBundle, openAuthentic } from "../../bundle/verify.ts";
import { slipwayErrors } from "../status/state.ts";

/** A bundle file whose signed index is verified, open; its frames and its whole-file signature are not verified yet. */
export interface Candidate {
	readonly file: string;
	readonly index: BundleIndex;
	readonly indexDigest: string;
	/** Everything later is read through this one descriptor. */
	readonly bundle: AuthenticBundle;
}

/**
 * Finds the release's bundles in the content folder by their index digests, never by file names. A bundle file that is not
 * in the release refuses the set, as does a required bundle that is missing; every fault is told at once. The bundles stay open until
 * closeCandidates. Errors: E_MEDIA, E_UNSIGNED, E_DENIED, E_RELEASE_SET and those of reading an index.
 */
export async function findCandidates(content: string, release: ContentRelease, trust: Trust): Promise<Candidate[]> {
	const files = await bundleFiles(content);
	if (files.length === 0) throw new SlipwayError("E_MEDIA", `There are no bundles in ${content}.`);
	const opened: Candidate[] = [];
	const faults: SlipwayError[] = [];
	for (const file of files) {
		try {
			const bundle = await openAuthentic(join(content, file), trust);
			opened.push({ file, index: bundle.index, indexDigest: bundle.indexDigest, bundle });
		} catch (error) {
			faults.push(...slipwayErrors(error));
		}
	}
	const unreadable = faults.length > 0;
	faults.push(...strangers(opened, release));
	// One that is missing may be one that could not be read: that has been told.
	if (!unreadable) faults.push(...missing(opened, release));
	if (faults.length === 0) return opened;
	await closeCandidates(opened);
	throw new SlipwayErrors(faults, "The content is not the release's.");
}

/** Bundles that the release does not name, or that are there twice. */
function strangers(opened: readonly Candidate[], release: ContentRelease): SlipwayError[] {
	return opened.flatMap(({ file, indexDigest }, i) => {
		const twin = opened.slice(0, i).find((other) => other.indexDigest === indexDigest);
		if (twin) return [new SlipwayError("E_RELEASE_SET", `${file} and ${twin.file} are the same bundle.`)];
		if (release.bundles.some((bundle) => bundle.indexDigest === indexDigest)) return [];
		return [new SlipwayError("E_RELEASE_SET", `${file} is not in the content release ${release.version}.`)];
	});
}

function missing(opened: readonly Candidate[], release: ContentRelease): SlipwayError[] {
	return release.bundles
		.filter(({ required, indexDigest }) => required && !opened.some((c) => c.indexDigest === indexDigest))
		.map(
			({ name, version }) => new SlipwayError("E_RELEASE_SET", `The required bundle ${name} ${version} is missing.`),
		);
}

/** Names of the bundle files in the content folder, sorted; none when there is no such folder. */
export async function bundleFiles(content: string): Promise<string[]> {
	return (await readdir(content).catch(() => [])).filter((file) => file.endsWith(".zst")).sort();
}

/** Closes the bundles' files. */
export async function closeCandidates(candidates: readonly Candidate[]): Promise<void> {
	for (const { bundle } of candidates) await bundle.close();
}
