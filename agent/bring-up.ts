import { join } from "node:path";
import type { ApplianceConfig } from "../bundle/appliance.ts";
import { SlipwayError, SlipwayErrors } from "../bundle/errors.ts";
import { loadTrust, type Trust } from "../bundle/trust.ts";
import { type Candidate, findCandidates } from "./load/candidates.ts";
import { type Committed, openCommitted } from "./load/committed.ts";
import { checkFitness } from "./load/fitness.ts";
import type { KernelLine } from "./load/kernel.ts";
import { loadSet } from "./load/load.ts";
import { checkFiles } from "./load/medium.ts";
import { checkRoot, readContentRelease, readMediumRelease, type SignedRelease } from "./load/release.ts";
import { checkSpace } from "./load/space.ts";
import { fipsFault } from "./preflight/fips.ts";
import { readHardware } from "./preflight/probe.ts";
import { missingRequirements } from "./preflight/requirements.ts";
import type { BlobSource, Registry } from "./registry/lookup.ts";
import type { View } from "./registry/view.ts";
import { type BundleStatus, type State, slipwayErrors } from "./status/state.ts";
import { volume } from "./store/files.ts";
import { StoreSource } from "./store/source.ts";
import { Store } from "./store/store.ts";

/** Loads again by itself after a blob went bad on disk, but not for ever. */
const REPAIRS = 3;

interface ContentSet {
	readonly release: SignedRelease;
	readonly candidates: readonly Candidate[];
}

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

		const set = await this.#step("content", () => this.#readSet(trust));
		if (!committed || !sameSet(committed, set)) {
			await this.#step("load", async () => {
				await checkSpace(
					store,
					set.candidates.map((c) => c.index),
				);
				await loadSet(store, trust, set.release, set.candidates, state);
				const loaded = await openCommitted(store, source, trust, rootId);
				if (loaded === undefined) throw new SlipwayError("E_INTERNAL", "Nothing was committed.");
				this.#show(loaded);
			});
			await store.sweep();
		}
		state.condition("committed");
		const absent = state.status.bundles.filter((b) => b.state === "absent");
		state.enter(absent.length > 0 ? "degraded" : "ready");
	}

	/** The medium's release and bundles, with everything checked that can be without reading whole bundles. */
	async #readSet(trust: Trust): Promise<ContentSet> {
		const { content } = this.#config;
		const { rootId, checkMedium } = this.#kernel;
		const release = await readContentRelease(content, trust);
		checkRoot(release.release, rootId);
		if (rootId !== null) {
			const medium = await readMediumRelease(content, trust, rootId, release.digest);
			if (medium) this.#state.update({ buildId: medium.buildId });
			if (checkMedium) await this.#checkMedium(join(content, ".."), medium?.files);
		}
		const candidates = await findCandidates(content, release.release, trust);
		checkFitness(this.#config, candidates);
		this.#state.update({
			developmentKey: release.development,
			release: { version: release.release.version, sequence: release.release.sequence, digest: release.digest },
			bundles: bundleStatus(release, candidates, "pending"),
		});
		return { release, candidates };
	}

	async #checkMedium(root: string, files: Parameters<typeof checkFiles>[1] | undefined): Promise<void> {
		if (files === undefined) throw new SlipwayError("E_MEDIA", "The medium has no signed ISO release to check it by.");
		const total = files.length;
		const bad = await checkFiles(root, files, (done, soFar) =>
			this.#state.update({ mediumCheck: { done, total, bad: [...soFar] } }),
		);
		if (bad.length > 0) {
			throw new SlipwayError("E_DIGEST_MISMATCH", `The medium is damaged: ${bad.join(", ")}.`, {
				next: "Write the ISO to another medium.",
			});
		}
	}

	#show(committed: Committed): void {
		const { release, development, bundles, view } = committed;
		this.#view = view;
		this.#state.update({
			developmentKey: development,
			release: { version: release.release.version, sequence: release.release.sequence, digest: release.digest },
			bundles: bundleStatus(release, bundles, "committed"),
		});
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

function sameSet(committed: Committed, set: ContentSet): boolean {
	const have = committed.bundles.map((b) => b.indexDigest).sort();
	const want = set.candidates.map((c) => c.indexDigest).sort();
	return committed.release.digest === set.release.digest && have.join() === want.join();
}

function bundleStatus(
	release: SignedRelease,
	present: readonly Pick<Candidate, "index" | "indexDigest">[],
	state: BundleStatus["state"],
): BundleStatus[] {
	return release.release.bundles.map((bundle) => {
		const found = present.find((item) => item.indexDigest === bundle.indexDigest);
		const { name, version, arch, fips, indexDigest, required } = bundle;
		const names = found?.index.names.map((n) => n.ref) ?? [];
		return { name, version, arch, fips, indexDigest, required, state: found ? state : "absent", names };
	});
}
