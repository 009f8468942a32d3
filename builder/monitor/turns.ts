import type { Monitor, StageLine, StageMonitor } from "./monitor.ts";

/** Lets stages that run at once share a monitor, which shows one at a time: what the others say waits for their turn. */
export class Turns {
	readonly #monitor: Monitor;
	readonly #notes = new Map<number, string>();
	#turn = -1;

	constructor(monitor: Monitor) {
		this.#monitor = monitor;
	}

	/** It is this stage's turn. */
	begin(index: number, line: StageLine): void {
		this.#turn = index;
		this.#monitor.begin(line);
		const note = this.#notes.get(index);
		if (note !== undefined) this.#monitor.note(note);
	}

	/** What a stage is given to talk to. */
	of(index: number): StageMonitor {
		return {
			progress: (done, total) => {
				this.#notes.delete(index);
				if (this.#turn === index) this.#monitor.progress(done, total);
			},
			note: (text) => {
				this.#notes.set(index, text);
				if (this.#turn === index) this.#monitor.note(text);
			},
		};
	}
}
