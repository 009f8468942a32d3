import { setTimeout as sleep } from "node:timers/promises";
import type { ApplianceConfig } from "../../bundle/appliance.ts";
import type { BlobSource } from "../registry/lookup.ts";
import type { View } from "../registry/view.ts";
import { type State, slipwayErrors } from "../status/state.ts";
import type { TargetProgress } from "./push.ts";

/** Pause after a push that failed: the site's registry, or its owner, needs time. */
const PAUSE_MS = 30_000;

/** A set of which every byte that is sent is proved; a blob that was lost stops the push before any name is given. */
export interface Deliverable {
	readonly view: View;
	readonly blobs: BlobSource;
	/** Digest of the content release. */
	readonly release: string;
}

/**
 * Keeps the target registry at the set that is served: pushes it until every name of it answers there, however long that takes,
 * and tells the state. Without `registry.target` it does nothing.
 */
export class Delivery {
	readonly #config: ApplianceConfig["registry"];
	readonly #folder: string;
	readonly #state: State;
	readonly #onDone: () => void;
	readonly #pauseMs: number;
	#set: Deliverable | undefined;
	#ending = new AbortController();
	#stopped = false;
	#running: Promise<void> = Promise.resolve();

	/** `folder`: the store's `state`; `onDone` is called when everything is there. */
	constructor(
		config: ApplianceConfig["registry"],
		folder: string,
		state: State,
		onDone: () => void,
		pauseMs: number = PAUSE_MS,
	) {
		this.#config = config;
		this.#folder = folder;
		this.#state = state;
		this.#onDone = onDone;
		this.#pauseMs = pauseMs;
	}

	/** What is to be in the target from now on. A push of another set ends; the same one may come from elsewhere from now on. */
	deliver(set: Deliverable | undefined): void {
		const { target } = this.#config;
		const before = this.#set;
		this.#set = set;
		if (target === null || this.#stopped || set?.release === before?.release) return;
		this.#ending.abort();
		this.#ending = new AbortController();
		this.#state.update({ target: { url: target, delivered: false } });
		const what = set === undefined ? "Nothing is served that could be" : "The content is being";
		this.#state.warn("target", "W_TARGET", `${what} loaded into ${target}.`);
		if (set === undefined) return;
		const { signal } = this.#ending;
		this.#running = this.#running.then(() => this.#push(target, () => this.#set ?? set, signal));
	}

	/** Ends what is under way; nothing starts from now on. */
	async stop(): Promise<void> {
		this.#stopped = true;
		this.#ending.abort();
		await this.#running;
	}

	async #push(target: string, set: () => Deliverable, signal: AbortSignal): Promise<void> {
		const onProgress = (progress: TargetProgress) => this.#state.update({ progress });
		const { pushToTarget } = await import("./push.ts"); // not needed on most boxes
		const push = { config: this.#config, folder: this.#folder, onProgress, signal };
		while (!signal.aborted) {
			try {
				const { view, blobs } = set();
				await pushToTarget({ ...push, view, blobs });
				if (signal.aborted) return; // another set took its place in the last moment
				this.#state.condition("target");
				this.#state.update({ target: { url: target, delivered: true } });
				this.#onDone();
				return;
			} catch (error) {
				if (signal.aborted) return;
				this.#state.condition("target", ...slipwayErrors(error));
				await sleep(this.#pauseMs, undefined, { signal }).catch(() => undefined);
			}
		}
	}
}
