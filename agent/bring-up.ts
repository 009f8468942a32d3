import { join } from "node:path";
import type { ApplianceConfig } from "../bundle/appliance.ts";
import { SlipwayError } from "../bundle/errors.ts";
import { loadTrust, type Trust } from "../bundle/trust.ts";
import { sameSet, tellRelease } from "./load/content-set.ts";
import type { KernelLine } from "./load/kernel.ts";
import { loadSet } from "./load/load.ts";
import { checkSpace } from "./load/space.ts";
import { preflight } from "./preflight/preflight.ts";
import { Runner } from "./runner.ts";
import { ContentWatch } from "./serve/content-watch.ts";
import { InPlace } from "./serve/in-place.ts";
import type { Medium } from "./serve/medium.ts";
import { Serving, servesInPlace } from "./serve/serving.ts";
import { TieredSource } from "./serve/tiered-source.ts";
import { settledStage } from "./status/stage.ts";
import { type State, slipwayErrors } from "./status/state.ts";
import { isRefusal, StepFailed, step } from "./status/step.ts";
import { StoreSource } from "./store/source.ts";
import { Store } from "./store/store.ts";
import { Delivery } from "./target/delivery.ts";
import { closeCandidates } from "./trust/candidates.ts";
import { type ContentSet, readContentSet } from "./trust/checks.ts";
import { type Committed, openCommitted } from "./trust/committed.ts";
import { TrustLedger } from "./trust/ledger.ts";

/**
 * Brings the content up: preflight, trust, the committed set, the medium's set, and if that is another one, its load. With
 * nothing committed the medium's set is served out of its bundles from the moment that its indexes are verified; else the
 * committed set is served until another one is committed in its place.
 */
export class BringUp {
	readonly serving: Serving;
	readonly #config: ApplianceConfig;
	readonly #kernel: KernelLine;
	readonly #state: State;
	readonly #inPlace: InPlace;
	readonly #watch: ContentWatch;
	readonly #delivery: Delivery;
	readonly #ending = new AbortController();
	#source: Promise<StoreSource> | undefined;
	#ledger: TrustLedger | undefined;
	/** Lost blobs are loaded again as often as it takes: the medium may be back. */
	readonly #runner = new Runner(
		() => this.#run(),
		() => this.serving.missing.length > 0 || this.#inPlace.isUnproved,
	);

	constructor(config: ApplianceConfig, kernel: KernelLine, state: State) {
		this.#config = config;
		this.#kernel = kernel;
		this.#state = state;
		state.subscribe(() => this.#follow());
		this.serving = new Serving(state, () => this.#changed());
		this.#inPlace = new InPlace(this.serving, state, {
			onChange: () => this.#changed(),
			onBack: () => void this.run(),
		});
		this.#delivery = new Delivery(config.registry, join(config.store, "state"), state, () => this.#settle());
		this.#watch = new ContentWatch(config.content, () => {
			if (state.status.stage !== "ready") void this.run();
		});
	}

	/** Never throws: what goes wrong becomes state. If a run is under way already, another one follows it. */
	run(): Promise<void> {
		return this.#runner.run();
	}

	/** Ends what is under way; nothing starts from now on. */
	async stop(): Promise<void> {
		this.#watch.stop();
		this.#ending.abort();
		this.#inPlace.stop();
		await this.#runner.stop();
		await this.#delivery.stop();
		this.serving.use(undefined);
	}

	/** The store, opened when it is first asked for. Errors: of files. */
	source(): Promise<StoreSource> {
		this.#source ??= this.#openStore().catch((error) => {
			this.#source = undefined; // the disk may be back the next time
			throw error;
		});
		return this.#source;
	}

	/** Disk and processor are needed for something else than background work. */
	get isBusy(): boolean {
		return this.#runner.isRunning;
	}

	async #openStore(): Promise<StoreSource> {
		const store = await Store.open(join(this.#config.store, "store"));
		// Nothing to do for anybody: what it said is proved or loaded again.
		if (store.damage) this.#state.warn("catalog", "W_CATALOG", store.damage.message);
		return new StoreSource(store, (digest, error) => this.serving.lost(digest, error));
	}

	async #run(): Promise<void> {
		const state = this.#state;
		try {
			await this.#watch.note();
			const isShown = this.serving.shown !== undefined;
			if (!isShown) state.enter("preflight");
			if ((!isShown || state.isWrong("boot")) && !(await preflight(this.#config, this.#kernel, state))) return;
			const ledger = await step(this.#state, "trust", () => this.#openLedger());
			if (await servesInPlace(this.#config)) await this.#serveInPlace(ledger);
			else await this.#serveFromStore(ledger);
			if (state.isWrong("agent")) state.condition("agent"); // what failed the last time has worked
		} catch (error) {
			// A step has told its own condition; what is served goes on being served.
			if (!(error instanceof StepFailed)) state.condition("agent", ...slipwayErrors(error));
		} finally {
			this.#settle();
		}
	}

	/**
	 * Keys, denylist and floors, with the medium's statements taken in: before anything is opened, since they may deny what is
	 * shown or committed. What is wrong with them is told by the check of the medium's content.
	 */
	async #openLedger(): Promise<TrustLedger> {
		const { trust: folder, store, content } = this.#config;
		// One for the life of the agent: two would write one file, each from its own memory.
		this.#ledger ??= await TrustLedger.open(join(store, "state", "trust"), await loadTrust(folder));
		await this.#ledger.accept(content).catch(() => undefined);
		this.#withdraw(this.#ledger.trust);
		// Told before anything else is read: what a development key signs may be anybody's.
		const developmentKey = [...this.#ledger.trust.release.keys.values()].some((key) => key.development);
		this.#state.update({ developmentKey });
		return this.#ledger;
	}

	/** What was proved with other keys or another denylist is shown no more until it is proved anew. */
	#withdraw(trust: Trust): void {
		if (this.serving.shown === undefined || this.serving.shown.trust === trust) return;
		this.#inPlace.stop();
		this.serving.show(undefined);
	}

	async #serveInPlace(ledger: TrustLedger): Promise<void> {
		this.#state.enter(this.serving.shown ? "serving" : "verifying");
		const set = await this.#readContent(ledger);
		const medium = await this.#inPlace.open(set, ledger);
		try {
			const blobs = this.#inPlace.source(medium);
			await step(this.#state, "load", () => this.#inPlace.show(set, blobs, "in-place", ledger.trust));
		} catch (error) {
			if (!isRefusal(error)) await medium.check(error);
			this.#putAway(medium);
			throw error;
		}
		this.serving.use(medium);
		this.#inPlace.prove(medium, set, ledger);
	}

	/** The medium's set. Its statements count even if the rest is refused. */
	#readContent(ledger: TrustLedger, committed?: string): Promise<ContentSet> {
		return step(this.#state, "content", () =>
			readContentSet(this.#config, this.#kernel, ledger, this.#state, committed),
		).finally(() => this.#withdraw(ledger.trust));
	}

	async #serveFromStore(ledger: TrustLedger): Promise<void> {
		const state = this.#state;
		const { store } = await step(this.#state, "store", () => this.source());
		let committed = await this.#proveCommitted(ledger);
		state.enter(this.serving.shown ? "serving" : "verifying");
		if (committed) await step(state, "floors", () => ledger.adopt(committed!.release, committed!.bundles));

		const { trust } = ledger;
		const set = await this.#readContent(ledger, store.catalog?.release).finally(async () => {
			if (ledger.trust !== trust) committed = await this.#proveCommitted(ledger);
		});
		if (committed && sameSet(committed, set) && this.serving.missing.length === 0) {
			await closeCandidates(set.candidates);
			this.serving.use(undefined);
			await step(this.#state, "load", () => store.sweep());
		} else {
			await this.#load(set, committed, ledger);
		}
		state.condition("committed");
		state.condition("storeDocuments"); // what a check found damaged was just proved or written anew
	}

	/** A committed set that is refused is not served; the medium's set replaces it. One that only lost manifests goes on meanwhile. */
	async #proveCommitted(ledger: TrustLedger): Promise<Committed | undefined> {
		try {
			return await this.#showCommitted(ledger);
		} catch (error) {
			const faults = slipwayErrors(error);
			this.#state.condition("committed", ...faults);
			const isShown = this.serving.shown?.from === "store";
			if (isShown && isRefusal(error) && faults.some(({ code }) => code !== "E_BLOB_MISSING")) {
				this.serving.show(undefined);
			}
			return undefined;
		}
	}

	/** Loads the set, serving it from its medium meanwhile if nothing else is there, and commits it. */
	async #load(set: ContentSet, committed: Committed | undefined, ledger: TrustLedger): Promise<void> {
		const source = await this.source();
		const { store } = source;
		const medium = await this.#inPlace.open(set, ledger);
		const before = this.serving.shown?.from === "store" ? this.serving.shown : undefined;
		let isShown = false;
		try {
			await step(this.#state, "load", async () => {
				const indexes = set.candidates.map((candidate) => candidate.index);
				const wanted = indexes.flatMap((index) => index.blobs);
				await store.sweep(wanted.map((blob) => blob.digest));
				const blobs = new TieredSource(source, this.#inPlace.source(medium));
				if (before === undefined) await this.#inPlace.show(set, blobs, "pending", ledger.trust);
				else if (before.release === set.release.digest) this.serving.show({ ...before, blobs }); // lost blobs come from it
				isShown = before === undefined;
				this.serving.use(medium);
				this.#state.enter("serving");
				await store.adopt(wanted);
				await checkSpace(store, indexes, this.#config.limits.storeMiB);
				const options = { ...set, state: this.#state, signal: this.#ending.signal };
				await medium.using(() => loadSet(store, source, ledger, options));
				if (!(await this.#showCommitted(ledger))) throw new SlipwayError("E_INTERNAL", "Nothing was committed.");
				await store.sweep();
			});
			this.serving.use(undefined);
		} catch (error) {
			if (!isRefusal(error)) await medium.check(error); // if it can be read no more, that is told too
			// What was stopped from outside is gone on with; else its room is free again. Why the load failed is what matters.
			const resumes = this.#ending.signal.aborted || medium.gone !== undefined;
			if (!resumes) await store.sweep().catch(() => undefined);
			if (isShown && !isRefusal(error)) {
				tellRelease(this.#state, set.release, set.candidates, "in-place"); // no room, say
				this.#inPlace.prove(medium, set, ledger);
			} else {
				if (isShown || before !== undefined) this.serving.show(before);
				this.#putAway(medium);
				if (committed) this.#tell(committed); // it is still what answers
			}
			throw error;
		}
	}

	/** A medium that nothing is served from: one that was pulled out is waited for, unless that is done with another already. */
	#putAway(medium: Medium): void {
		const isOther = this.serving.shown?.from === "medium";
		if (!isOther) this.serving.use(medium.gone && medium);
		if (isOther || medium.gone === undefined) medium.close();
	}

	/** Proves the committed set anew, if there is one, and serves it. */
	async #showCommitted(ledger: TrustLedger): Promise<Committed | undefined> {
		const source = await this.source();
		const missing = this.serving.missing;
		const committed = await openCommitted(source.store, source, ledger.trust, this.#config, this.#kernel.rootId);
		if (committed === undefined) return undefined;
		const { view, release, lost } = committed;
		const gone = new Set(lost.map(({ digest }) => digest));
		const found = missing.filter((digest) => !gone.has(digest));
		this.#inPlace.stop();
		this.serving.show({ view, blobs: source, from: "store", release: release.digest, trust: ledger.trust }, found);
		this.serving.lose(lost);
		this.#tell(committed);
		return committed;
	}

	#tell({ release, bundles }: Committed): void {
		tellRelease(this.#state, release, bundles, "committed");
	}

	/**
	 * A run under way tells its own stage, but not `ready` meanwhile; and what is to be tried again is, when it has ended.
	 */
	#changed(): void {
		if (!this.#runner.isRunning || this.#state.status.stage === "ready") this.#settle();
		this.#runner.repeat();
	}

	/** With nothing under way the stage follows from the rest, so that no change of it can be forgotten. */
	#follow(): void {
		const isSettled = ["ready", "degraded", "failed"].includes(this.#state.status.stage);
		if (isSettled && !this.#runner.isRunning) this.#state.enter(settledStage(this.#state.status));
	}

	#settle(): void {
		this.#delivery.deliver(this.serving.whole);
		this.#state.enter(settledStage(this.#state.status));
	}
}
