import { join } from "node:path";
import type { ApplianceConfig } from "../bundle/appliance.ts";
import { SlipwayError, SlipwayErrors } from "../bundle/errors.ts";
import { loadTrust, type Trust } from "../bundle/trust.ts";
import { type Committed, openCommitted } from "./load/committed.ts";
import { readContentSet, sameSet, tellRelease } from "./load/content-set.ts";
import type { KernelLine } from "./load/kernel.ts";
import { loadSet } from "./load/load.ts";
import { checkSpace } from "./load/space.ts";
import { fipsFault } from "./preflight/fips.ts";
import { readHardware } from "./preflight/probe.ts";
import { missingRequirements } from "./preflight/requirements.ts";
import type { BlobSource, Registry } from "./registry/lookup.ts";
import type { View } from "./registry/view.ts";
import { type State, slipwayErrors } from "./status/state.ts";
import { volume } from "./store/files.ts";
import { StoreSource } from "./store/source.ts";
import { Store } from "./store/store.ts";

/** Loads again by itself after a blob went bad on disk, but not for ever. */
const REPAIRS = 3;

/**
 * Brings the content up: preflight, trust, the committed set, the medium's set, and if that is another one, its load. It is
 * also what the registry serves: nothing before a set is committed, and a committed set stays while another is loaded.
 */
export class BringUp implements Registry {
	readonly #config: ApplianceConfig;
	readonly #kernel: KernelLine;
	readonly #state: State;
	#view: View | undefined;
	#blobs: BlobSource | undefined;
	#repairs = 0;
	#running: Promise<void> | undefined;

	constructor(config: ApplianceConfig, kernel: KernelLine, state: State) {
		this.#config = config;
		this.#kernel = kernel;
		this.#state = state;
	}

	readonly view = () => this.#view;

	get blobs(): BlobSource {
		if (this.#blobs === undefined) throw new SlipwayError("E_INTERNAL", "The store is not open."); // no view, no blobs
		return this.#blobs;
	}

	/** Never throws: what goes wrong becomes state. */
	run(): Promise<void> {
		this.#running ??= this.#run().finally(() => {
			this.#running = undefined;
		});
		return this.#running;
	}

	async #run(): Promise<void> {
		const state = this.#state;
		try {
			if (this.#view === undefined) state.enter("preflight");
			if (!(await this.#preflight())) return;
			const trust = await this.#step("trust", () => loadTrust(this.#config.trust));
			const store = await this.#step("store", () => Store.open(join(this.#config.store, "store")));
			const source = new StoreSource(store, (error) => this.#repair(error));
			this.#blobs = source;
			await this.#serve(store, source, trust);
		} catch (error) {
			// A step has told its own condition; a committed set goes on being served.
			if (!(error instanceof StepFailed)) state.fail("agent", error);
			state.enter(this.#view === undefined ? "failed" : "degraded");
		}
	}

	/** All that the machine lacks, at once; without FIPS where it must be, or the hardware, nothing is loaded. */
	async #preflight(): Promise<boolean> {
		const { config, state } = { config: this.#config, state: this.#state };
		const fips = fipsFault(state.status.fips);
		state.condition("fips", fips);
		const { kind, size } = await volume(config.store);
		const missing = missingRequirements(config, await readHardware(config.run), {
			kind,
			sizeMiB: Math.floor(size / 2 ** 20),
		});
		if (missing.length > 0) state.fail("requirements", new SlipwayErrors(missing));
		else state.condition("requirements");
		if (fips === undefined && missing.length === 0) return true;
		state.enter("failed");
		return false;
	}

	async #serve(store: Store, source: BlobSource, trust: Trust): Promise<void> {
		const state = this.#state;
		const { rootId } = this.#kernel;
		// A set in the store that no longer proves itself is not served; the medium's set replaces it.
		const committed = await openCommitted(store, source, trust, rootId).catch((error) => {
			state.condition("committed", slipwayErrors(error)[0]);
			return undefined;
		});
		if (committed) this.#show(committed);
		state.enter(committed ? "serving" : "verifying");

		const set = await this.#step("content", () => readContentSet(this.#config, this.#kernel, trust, state));
		if (!committed || !sameSet(committed, set)) {
			await this.#step("load", async () => {
				const indexes = set.candidates.map((c) => c.index);
				if (!committed) tellRelease(state, set.release, set.candidates, "pending");
				await checkSpace(store, indexes);
				await loadSet(store, trust, set.release, set.candidates, state);
				const loaded = await openCommitted(store, source, trust, rootId);
				if (loaded === undefined) throw new SlipwayError("E_INTERNAL", "Nothing was committed.");
				this.#show(loaded);
			}).catch((error) => {
				if (committed) this.#show(committed); // it is still what answers
				throw error;
			});
			await store.sweep();
		}
		state.condition("committed");
		const absent = state.status.bundles.filter((b) => b.state === "absent");
		state.enter(absent.length > 0 ? "degraded" : "ready");
	}

	#show({ release, development, bundles, view }: Committed): void {
		this.#view = view;
		tellRelease(this.#state, release, bundles, "committed");
		this.#state.update({ developmentKey: development });
	}

	/** A named step: its condition is told whichever way it ends. */
	async #step<T>(name: string, work: () => Promise<T>): Promise<T> {
		try {
			const result = await work();
			this.#state.condition(name);
			return result;
		} catch (error) {
			this.#state.fail(name, error, this.#view === undefined ? "failed" : "degraded");
			throw new StepFailed(name);
		}
	}

	/** A stored blob went bad: bring the set up again, which loads that blob from the medium. */
	#repair(error: SlipwayError): void {
		this.#state.condition("store", error);
		this.#state.enter("degraded");
		if (++this.#repairs <= REPAIRS) void this.run();
	}
}

class StepFailed extends Error {}
