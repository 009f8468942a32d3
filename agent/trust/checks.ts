import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import type { ContentRelease, IsoRelease } from "../../bundle/index-schema.ts";
import type { KernelLine } from "../load/kernel.ts";
import type { State } from "../status/state.ts";
import type { Store } from "../store/store.ts";
import { type Candidate, closeCandidates, findCandidates } from "./candidates.ts";
import { checkFitness } from "./fitness.ts";
import type { TrustLedger } from "./ledger.ts";
import { checkMedium } from "./medium.ts";
import { checkRoot, readContentRelease, readMediumRelease, type SignedRelease } from "./release.ts";

/**
 * Every check of an activation, in order; whatever is not said here is not checked. Each refuses with a code, and nothing that
 * a check refuses reaches the next one. No check reads a clock. 1 to 9 are readContentSet, 11 and 12 are commitSet, below.
 *
 *  1. statements   the medium's chain continues the box's own, each signed by the root role before it   TrustLedger.accept
 *  2. release      of its payload type, signed by the release role to its threshold, not denied         readContentRelease
 *  3. root image   the release fits the one that was booted                                             checkRoot
 *  4. ISO release  signed likewise; it is for that root image and names this content release, which
 *                  is not asked of a content stick                                                      readMediumRelease
 *  5. target       product, architecture and FIPS of both releases are the appliance's own              checkTarget
 *  6. medium       every file has its digest, if the boot menu asked for that                           checkMedium
 *  7. bundles      each has a signed index, not denied, and is the release's by index digest: no more,
 *                  no less; its frames' offsets cover the file                                          findCandidates
 *  8. fitness      claims of the release, architecture, FIPS, least agent, requires, one digest a name  checkFitness
 *  9. floors       neither release nor bundles are older than what was here, or planned                 TrustLedger.checkFloors
 * 10. bytes        every frame before it is decoded, every blob, every name's closure, the layout's
 *                  names, and the signature over each whole file                                        verifyContents
 * 11. floors rise  only now: what fails above leaves them as they were                                  TrustLedger.raise
 * 12. commit       one replaced file                                                                    Store.commit
 *
 * What is committed is proved anew at each start with the keys of that day: openCommitted does 2, 3, the signatures of 7,
 * and 8. Floors never refuse it.
 */

/** The content folder's release and its bundles, open, with everything checked that can be without reading whole bundles. */
export interface ContentSet {
	readonly release: SignedRelease;
	readonly candidates: readonly Candidate[];
}

/**
 * Reads the set, on an appliance with the signed list of the medium it stands on: checks 1 to 9. `committed` is the digest of
 * the release that the store's catalog names. Errors: those of the functions in the list above.
 */
export async function readContentSet(
	config: ApplianceConfig,
	kernel: KernelLine,
	ledger: TrustLedger,
	state: State,
	committed?: string,
): Promise<ContentSet> {
	await ledger.accept(config.content);
	const { trust } = ledger;
	const release = await readContentRelease(config.content, trust);
	checkRoot(release.release, kernel.rootId);
	if (kernel.rootId !== null) {
		const medium = await readMediumRelease(config.content, trust, kernel.rootId, release.digest);
		checkTarget(config, release.release, medium);
		if (medium !== undefined) state.update({ buildId: medium.buildId });
		if (medium !== undefined && kernel.checkMedium) await checkMedium(config.content, trust, medium, state);
	}
	const candidates = await findCandidates(config.content, release.release, trust);
	try {
		checkFitness(config, release.release, candidates);
		ledger.checkFloors(release, candidates, committed);
		return { release, candidates };
	} catch (error) {
		await closeCandidates(candidates);
		throw error;
	}
}

/**
 * Commits a set of which every byte has been verified: checks 11 and 12. A crash in between leaves the old set, which no floor
 * refuses, and the new one can be loaded again. Errors: those of TrustLedger.checkFloors, its raise, and Store.commit.
 */
export async function commitSet(
	ledger: TrustLedger,
	store: Store,
	{ release, candidates }: ContentSet,
	blobs: Parameters<Store["commit"]>[0]["blobs"],
): Promise<void> {
	ledger.checkFloors(release, candidates, store.catalog?.release); // they may have risen while the bytes were read
	await ledger.raise(release, candidates);
	await store.commit({ release: release.digest, bundles: candidates.map((c) => c.indexDigest), blobs });
}

/** What the medium's releases say of their target must be what the booted root image says of itself. */
function checkTarget(config: ApplianceConfig, content: ContentRelease, medium: IsoRelease | undefined): void {
	const claims: [string, unknown, unknown][] = [
		["content release is for the product", content.product, config.product],
	];
	if (medium !== undefined) {
		claims.push(
			["ISO release is for the product", medium.product, config.product],
			["ISO release is for the architecture", medium.arch === "any" ? config.arch : medium.arch, config.arch],
			["ISO release has FIPS", medium.fips, config.fips],
		);
	}
	const faults = claims.flatMap(([what, said, own]) =>
		said === own ? [] : [new SlipwayError("E_RELEASE", `The ${what} ${said}; this appliance: ${own}.`)],
	);
	if (faults.length > 0) throw new SlipwayErrors(faults, "The medium is not for this appliance.");
}
