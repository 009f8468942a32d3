import type { PlannedStage } from "./plan.ts";
import type { StageName } from "./stage.ts";

export interface Made {
	/** Output folder in the cache. */
	readonly out: string;
	readonly cached: boolean;
	readonly seconds: number;
}

/** Output folders of stages that are made. */
export type Outputs = Readonly<Partial<Record<StageName, string>>>;

type Make = (index: number, outputs: Outputs, signal: AbortSignal) => Promise<Made>;

/**
 * Makes stages, each as soon as those that it reads are made: the initrd beside the root image, on hosts with more than one
 * processor. Whoever asks for them in their order is told each one's failure at its turn, as if they were made one by one.
 */
export class Crew {
	readonly #stages: readonly PlannedStage[];
	readonly #make: Make;
	readonly #stop = new AbortController();
	readonly #signal: AbortSignal;
	readonly #work = new Map<StageName, Promise<Made>>();
	readonly #outputs: Partial<Record<StageName, string>> = {};

	constructor(stages: readonly PlannedStage[], signal: AbortSignal, make: Make) {
		this.#stages = stages;
		this.#make = make;
		this.#signal = AbortSignal.any([signal, this.#stop.signal]);
	}

	/** The stages before it must be made. Errors: those of the stage. */
	async made(name: StageName): Promise<Made> {
		this.#startReady();
		return await this.#work.get(name)!;
	}

	/** Stops what is under way, and waits until it has cleaned up. */
	async dismiss(): Promise<void> {
		this.#stop.abort();
		await Promise.allSettled(this.#work.values());
	}

	#startReady(): void {
		if (this.#stop.signal.aborted) return;
		for (const [i, { name, inputs }] of this.#stages.entries()) {
			const ready = Object.keys(inputs).every((input) => input in this.#outputs);
			if (this.#work.has(name) || !ready) continue;
			const work = this.#make(i, this.#outputs, this.#signal).then((made) => {
				this.#outputs[name] = made.out;
				this.#startReady();
				return made;
			});
			// Told at its turn.
			work.catch(() => undefined);
			this.#work.set(name, work);
		}
	}
}
