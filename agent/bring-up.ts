import { join } from "node:path";
import type { ApplianceConfig } from "../bundle/appliance.ts";
import { SlipwayError, SlipwayErrors } from "../bundle/errors.ts";
import { loadTrust, type Trust } from "../bundle/trust.ts";
import { readContentSet, sameSet, tellRelease } from "./load/content-set.ts";
import type { KernelLine } from "./load/kernel.ts";
import { loadSet } from "./load/load.ts";
import { checkSpace } from "./load/space.ts";
import { bootFaults } from "./preflight/boot.ts";
import { fipsFault } from "./preflight/fips.ts";
import { readHardware } from "./preflight/probe.ts";
import { missingRequirements } from "./preflight/requirements.ts";
import type { BlobSource, Registry } from "./registry/lookup.ts";
import { holds, type View } from "./registry/view.ts";
import { type State, slipwayErrors } from "./status/state.ts";
import { volume } from "./store/files.ts";
import { StoreSource } from "./store/source.ts";
import { Store } from "./store/store.ts";
import { closeCandidates } from "./trust/candidates.ts";
import { type Committed, openCommitted } from "./trust/committed.ts";

/** Pause between attempts to load lost blobs again: the medium may be back, and a dying disk gets no load without end. */
const REPAIR_PAUSE_MS = 30_000;

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
	/** Blobs of the view that turned out bad or missing. */
	readonly #missing = new Set<string>();
	#running: Promise<void> | undefined;
	#repair: NodeJS.Timeout | undefined;
	#repaired = Number.NEGATIVE_INFINITY;
	#stopped = false;

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
			if (this.#missing.size > 0) this.#repairSoon();
		});
		return this.#running;
	}

	/** No repair starts from now on. */
	stop(): void {
		this.#stopped = true;
		clearTimeout(this.#repair);
	}

	async #run(): Promise<void> {
		const state = this.#state;
		try {
			if (this.#view === undefined) {
				state.enter("preflight");
				state.condition("boot", ...(await bootFaults(this.#config.run)));
				if (!(await this.#preflight())) return;
			}
			const trust = await this.#step("trust", () => loadTrust(this.#config.trust));
			// Told before anything is read: what a development key signs may be anybody's.
			state.update({ developmentKey: [...trust.release.keys.values()].some((key) => key.development) });
			const store = await this.#step("store", () => Store.open(join(this.#config.store, "store")));
			const source = new StoreSource(store, (digest, error) => this.#lost(digest, error));
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
		state.condition("fips", ...(fips ? [fips] : []));
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
		// A set in the store that no longer proves itself is not served; the medium's set replaces it.
		const committed = await this.#open(store, source, trust).catch((error) => {
			state.condition("committed", ...slipwayErrors(error));
			return undefined;
		});
		state.enter(this.#view ? "serving" : "verifying");

		const set = await this.#step("content", () => readContentSet(this.#config, this.#kernel, trust, state));
		await this.#step("load", async () => {
			const blobs = set.candidates.flatMap(({ index }) => index.blobs);
			await store.sweep(blobs.map((blob) => blob.digest));
			if (committed && sameSet(committed, set)) return;
			if (!committed) tellRelease(state, set.release, set.candidates, "pending");
			await checkSpace(
				store,
				set.candidates.map((c) => c.index),
			);
			await loadSet(store, source, trust, set.release, set.candidates, state);
			if (!(await this.#open(store, source, trust))) throw new SlipwayError("E_INTERNAL", "Nothing was committed.");
			await store.sweep();
		})
			.catch(async (error) => {
				await store.sweep().catch(() => undefined); // why the load failed is what matters
				if (committed) this.#tell(committed); // it is still what answers
				throw error;
			})
			.finally(() => closeCandidates(set.candidates));
		state.condition("committed");
		const { bundles, conditions } = state.status;
		const booted = conditions.every((c) => c.name !== "boot" || c.ok);
		const whole = booted && bundles.every((b) => b.state !== "absent") && this.#missing.size === 0;
		state.enter(whole ? "ready" : "degraded");
	}

	/** Proves the committed set anew, if there is one, and serves it. */
	async #open(store: Store, source: BlobSource, trust: Trust): Promise<Committed | undefined> {
		const lost = [...this.#missing]; // they are found again or not needed any more; not so what is lost meanwhile
		const committed = await openCommitted(store, source, trust, this.#config, this.#kernel.rootId);
		if (committed === undefined) return undefined;
		this.#view = committed.view;
		for (const digest of lost) this.#missing.delete(digest);
		if (this.#missing.size === 0) this.#state.condition("blobs");
		this.#tell(committed);
		return committed;
	}

	#tell({ release, bundles }: Committed): void {
		tellRelease(this.#state, release, bundles, "committed");
		this.#state.update({ missingBlobs: [...this.#missing] });
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

	/** A stored blob went bad or missing. Where it is served, the set is brought up again, which loads it from the medium. */
	#lost(digest: string, error: SlipwayError): void {
		if (this.#view === undefined || !holds(this.#view, digest)) return; // the step that reads it tells
		this.#missing.add(digest);
		this.#state.condition("blobs", error);
		this.#state.update({ missingBlobs: [...this.#missing] });
		if (this.#running !== undefined) return; // when it has ended, another one follows
		this.#state.enter("degraded");
		this.#repairSoon();
	}

	#repairSoon(): void {
		if (this.#stopped) return;
		const pause = performance.now() - this.#repaired < REPAIR_PAUSE_MS ? REPAIR_PAUSE_MS : 0;
		this.#repair ??= setTimeout(async () => {
			await this.run();
			this.#repaired = performance.now();
			this.#repair = undefined;
			if (this.#missing.size > 0) this.#repairSoon();
		}, pause);
	}
}

class StepFailed extends Error {}
