import { opendir } from "node:fs/promises";
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

/** Bundle files that are looked at, at most, and faults that are told: a medium may hold a million of either. */
const MAX_FILES = 1000;
const MAX_FAULTS = 20;

/**
 * Finds the release's bundles in the content folder by their index digests, never by file names. A bundle file that is not
 * in the release refuses the set, as does a required bundle that is missing; every fault is told at once, up to 20. The
 * bundles stay open until closeCandidates; never are more open than the release names.
 * Errors: E_MEDIA, E_LIMIT, E_IO, E_UNSIGNED, E_DENIED, E_RELEASE_SET and those of reading an index.
 */
export async function findCandidates(content: string, release: ContentRelease, trust: Trust): Promise<Candidate[]> {
	const files = await bundleFiles(content);
	if (files.length === 0) throw new SlipwayError("E_MEDIA", `There are no bundles in ${content}.`);
	const opened: Candidate[] = [];
	const faults: SlipwayError[] = [];
	let unreadable = false;
	for (const file of files) {
		if (faults.length >= MAX_FAULTS) break;
		try {
			const bundle = await openAuthentic(join(content, file), trust);
			const candidate = { file, index: bundle.index, indexDigest: bundle.indexDigest, bundle };
			const stranger = strangerFault(candidate, opened, release);
			if (stranger === undefined) opened.push(candidate);
			else {
				faults.push(stranger);
				await bundle.close();
			}
		} catch (error) {
			unreadable = true;
			faults.push(...slipwayErrors(error));
		}
	}
	// One that is missing may be one that could not be read, or was not looked at: that has been told.
	if (!unreadable && faults.length < MAX_FAULTS) faults.push(...missing(opened, release));
	if (faults.length === 0) return opened;
	await closeCandidates(opened);
	throw new SlipwayErrors(faults.slice(0, MAX_FAULTS), "The content is not the release's.");
}

/** Why a bundle is one too many: the release does not name it, or it is there twice. */
function strangerFault(
	{ file, indexDigest }: Candidate,
	opened: readonly Candidate[],
	release: ContentRelease,
): SlipwayError | undefined {
	const twin = opened.find((other) => other.indexDigest === indexDigest);
	if (twin) return new SlipwayError("E_RELEASE_SET", `${file} and ${twin.file} are the same bundle.`);
	if (release.bundles.some((bundle) => bundle.indexDigest === indexDigest)) return undefined;
	return new SlipwayError("E_RELEASE_SET", `${file} is not in the content release ${release.version}.`);
}

function missing(opened: readonly Candidate[], release: ContentRelease): SlipwayError[] {
	return release.bundles
		.filter(({ required, indexDigest }) => required && !opened.some((c) => c.indexDigest === indexDigest))
		.map(
			({ name, version }) => new SlipwayError("E_RELEASE_SET", `The required bundle ${name} ${version} is missing.`),
		);
}

/** Names of the bundle files in the content folder, sorted; none when there is no such folder. Errors: E_LIMIT, E_IO. */
export async function bundleFiles(content: string): Promise<string[]> {
	const dir = await opendir(content).catch((cause: NodeJS.ErrnoException) => {
		if (cause.code === "ENOENT" || cause.code === "ENOTDIR") return [];
		throw new SlipwayError("E_IO", `${content} cannot be read: ${cause.message}.`, { cause });
	});
	const files: string[] = [];
	for await (const { name } of dir) {
		if (!name.endsWith(".zst")) continue;
		if (files.push(name) > MAX_FILES) {
			throw new SlipwayError("E_LIMIT", `There are more than ${MAX_FILES} bundle files in ${content}.`);
		}
	}
	return files.sort();
}

/** Closes the bundles' files. */
export async function closeCandidates(candidates: readonly Candidate[]): Promise<void> {
	for (const { bundle } of candidates) await bundle.close();
}
