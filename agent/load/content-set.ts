import type { BundleStatus, State } from "../status/state.ts";
import type { Candidate } from "../trust/candidates.ts";
import type { ContentSet } from "../trust/checks.ts";
import type { Committed } from "../trust/committed.ts";
import type { SignedRelease } from "../trust/release.ts";

/** Whether what is committed is what the content folder holds. */
export function sameSet(committed: Committed, set: ContentSet): boolean {
	const have = committed.bundles.map((b) => b.indexDigest).sort();
	const want = set.candidates.map((c) => c.indexDigest).sort();
	return committed.release.digest === set.release.digest && have.join() === want.join();
}

/** Puts the release into the state; its bundles that are `present` are in state `to`. */
export function tellRelease(
	state: State,
	{ release, digest }: SignedRelease,
	present: readonly Pick<Candidate, "index" | "indexDigest">[],
	to: BundleStatus["state"],
): void {
	const bundles = release.bundles.map(({ name, version, arch, fips, indexDigest, required }): BundleStatus => {
		const found = present.find((item) => item.indexDigest === indexDigest);
		const names = found?.index.names.map((n) => n.ref) ?? [];
		return { name, version, arch, fips, indexDigest, required, state: found ? to : "absent", names };
	});
	const { version, sequence } = release;
	state.update({ release: { version, sequence, digest }, bundles });
}
