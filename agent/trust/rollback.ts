import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { StoreSource } from "../store/source.ts";
import type { Store } from "../store/store.ts";
import { type Committed, openCommitted } from "./committed.ts";
import type { TrustLedger } from "./ledger.ts";

/**
 * Puts the release that the store keeps from before in the place of the present one: proved anew with the keys of today, held
 * against the floors, which only a signed statement lets it pass, and committed in one step. Gives what is committed now.
 * Errors: E_BLOB_MISSING (none is kept, or it is not whole), those of openCommitted and TrustLedger.checkFloors.
 */
export async function rollBack(
	store: Store,
	ledger: TrustLedger,
	config: Pick<ApplianceConfig, "arch" | "fips">,
	rootId: string | null,
): Promise<Committed> {
	const source = new StoreSource(store, () => undefined);
	const kept = store.previous && (await openCommitted(store, source, ledger.trust, config, rootId, store.previous));
	if (kept === undefined) {
		throw new SlipwayError("E_BLOB_MISSING", "The store keeps no release from before.", {
			next: "Insert the medium with the release to go back to.",
		});
	}
	ledger.checkFloors(kept.release, kept.bundles, store.catalog?.release);
	await store.activatePrevious();
	return kept;
}
