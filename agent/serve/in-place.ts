import type { Trust } from "../../bundle/trust.ts";
import { openAuthentic } from "../../bundle/verify.ts";
import { verifyNames } from "../../bundle/verify-names.ts";
import { tellRelease } from "../load/content-set.ts";
import { buildView } from "../registry/build-view.ts";
import type { BlobSource } from "../registry/lookup.ts";
import { type State, slipwayErrors } from "../status/state.ts";
import { isRefusal, StepFailed, step } from "../status/step.ts";
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
	/** The medium whose set is served in place for good, and not only until it is loaded. */
	#proving: Medium | undefined;
	#unproved = false;

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
					if (gone === undefined) this.#events.onBack(); // what is under way is not ready for a moment in between
					this.#serving.mediumChanged();
					if (gone !== undefined) this.#events.onChange();
				},
			},
		);
	}

	/** The check of the whole files could not be done to its end: it is to be tried again. */
	get isUnproved(): boolean {
		return this.#unproved;
	}

	/** A wrong byte that a client meets refuses a set in place, as it does in the check of the whole; a load meets it itself. */
	source(medium: Medium): BundleSource {
		return new BundleSource(medium, (digest, error) => {
			if (this.#proving === medium && isRefusal(error)) this.#refuse(error);
			else this.#serving.lost(digest, error);
		});
	}

	/**
	 * Shows the set's names: their closures are known to be whole from the signed indexes and the manifests. What went on with
	 * the set before ends. Errors: those of verifyNames and buildView.
	 */
	async show(set: ContentSet, blobs: BlobSource, to: "pending" | "in-place", trust: Trust): Promise<void> {
		for (const { bundle } of set.candidates) await verifyNames(bundle);
		const view = await buildView(
			set.candidates.flatMap(({ index }) => index.names),
			blobs,
		);
		this.stop();
		const release = set.release.digest;
		// Blobs of the same set that could not be read have not been read by this.
		const found = this.#serving.shown?.release === release ? [] : this.#serving.missing;
		this.#serving.show({ view, blobs, from: "medium", release, trust }, found);
		tellRelease(this.#state, set.release, set.candidates, to);
	}

	/** Proves what is served as a whole, in the background. What does not prove itself is served no more. */
	prove(medium: Medium, set: ContentSet, ledger: TrustLedger): void {
		this.#checking = new AbortController();
		this.#proving = medium;
		const { signal } = this.#checking;
		const prove = async () => {
			await checkWhole(medium, ledger.trust, this.#state, signal);
			await step(this.#state, "floors", () => ledger.raise(set.release, set.candidates));
			if (signal.aborted) return;
			this.#serving.proved();
			this.#events.onChange();
		};
		void prove().catch(async (error) => {
			if (signal.aborted) return;
			const cause = error instanceof StepFailed ? error.cause : error;
			if (isRefusal(cause)) return this.#refuse(cause);
			await medium.check(cause);
			if (signal.aborted || medium.gone !== undefined) return; // when it is back all begins anew
			this.#unproved = true;
			this.#state.condition("wholeFileVerified", ...slipwayErrors(cause));
			this.#events.onChange();
		});
	}

	/** Something else is served from now on: what was found out about this counts no more. */
	stop(): void {
		this.#checking.abort();
		this.#proving = undefined;
		this.#unproved = false;
		this.#state.forget("wholeFileVerified");
	}

	#refuse(cause: unknown): void {
		this.stop();
		this.#state.condition("wholeFileVerified", ...slipwayErrors(cause)); // first the reason, then what follows from it
		this.#serving.show(undefined);
		this.#serving.use(undefined);
		this.#events.onChange();
	}
}
