import { openAuthentic } from "../../bundle/verify.ts";
import { verifyNames } from "../../bundle/verify-names.ts";
import { tellRelease } from "../load/content-set.ts";
import { buildView } from "../registry/build-view.ts";
import type { BlobSource } from "../registry/lookup.ts";
import { type State, slipwayErrors } from "../status/state.ts";
import { isRefusal, step } from "../status/step.ts";
import type { ContentSet } from "../trust/checks.ts";
import type { TrustLedger } from "../trust/ledger.ts";
import { BundleSource } from "./bundle-source.ts";
import { FrameCache } from "./frame-cache.ts";
import { Medium } from "./medium.ts";
import type { Serving } from "./serving.ts";
import { checkWhole } from "./whole-check.ts";

export interface InPlaceEvents {
	/** Something has changed that the stage depends on. */
	readonly onChange: () => void;
	/** A medium that was pulled out is back. */
	readonly onBack: () => void;
}

/** Sets that are served out of their bundles: opened, shown, and proved as a whole in the background. */
export class InPlace {
	readonly #serving: Serving;
	readonly #state: State;
	readonly #events: InPlaceEvents;
	readonly #cache = new FrameCache();
	/** Ends the check of the whole files. */
	#checking = new AbortController();

	constructor(serving: Serving, state: State, events: InPlaceEvents) {
		this.#serving = serving;
		this.#state = state;
		this.#events = events;
	}

	/** Takes the set's open bundles over. Errors: of files. */
	open({ candidates }: ContentSet, ledger: TrustLedger): Promise<Medium> {
		return Medium.of(
			candidates.map((candidate) => candidate.bundle),
			{
				cache: this.#cache,
				reopen: (path) => openAuthentic(path, ledger.trust),
				onChange: (gone) => {
					this.#serving.mediumChanged();
					if (gone === undefined) this.#events.onBack();
					else this.#events.onChange();
				},
			},
		);
	}

	source(medium: Medium): BundleSource {
		return new BundleSource(medium, (digest, error) => this.#serving.lost(digest, error));
	}

	/**
	 * Shows the set's names: their closures are known to be whole from the signed indexes and the manifests.
	 * Errors: those of verifyNames and buildView.
	 */
	async show(set: ContentSet, blobs: BlobSource, to: "pending" | "in-place"): Promise<void> {
		const found = this.#serving.missing;
		for (const { bundle } of set.candidates) await verifyNames(bundle);
		const view = await buildView(
			set.candidates.flatMap(({ index }) => index.names),
			blobs,
		);
		this.#serving.show({ view, blobs, from: "medium", release: set.release.digest }, found);
		tellRelease(this.#state, set.release, set.candidates, to);
	}

	/** Proves what is served as a whole, in the background. What does not prove itself is served no more. */
	prove(medium: Medium, set: ContentSet, ledger: TrustLedger): void {
		this.#checking.abort();
		this.#checking = new AbortController();
		const { signal } = this.#checking;
		const prove = async () => {
			await checkWhole(medium, ledger.trust, this.#state, signal);
			await step(this.#state, "floors", () => ledger.raise(set.release, set.candidates));
			this.#serving.proved(set.release.digest);
			this.#events.onChange();
		};
		void prove().catch(async (error) => {
			if (signal.aborted) return;
			if (!isRefusal(error)) return void (await medium.check());
			this.#serving.show(undefined);
			this.#serving.use(undefined);
			this.#state.condition("wholeFileVerified", ...slipwayErrors(error));
			this.#events.onChange();
		});
	}

	/** Ends what goes on in the background. */
	stop(): void {
		this.#checking.abort();
	}
}
