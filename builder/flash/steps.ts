import type { Monitor } from "../monitor/monitor.ts";

/** Shows a few named steps, one after the other, as the stages of a build are shown. */
export class Steps<Name extends string> {
	readonly #monitor: Monitor;
	readonly #names: readonly Name[];

	constructor(monitor: Monitor, names: readonly Name[]) {
		this.#monitor = monitor;
		this.#names = names;
	}

	async run<T>(name: Name, summary: string, work: () => Promise<T>): Promise<T> {
		const started = performance.now();
		const end = (outcome: "done" | "failed") => this.#monitor.end(outcome, (performance.now() - started) / 1000);
		this.#monitor.begin({ name, summary, number: this.#names.indexOf(name) + 1, total: this.#names.length });
		this.#monitor.progress(0, 0);
		try {
			const result = await work();
			end("done");
			return result;
		} catch (error) {
			end("failed");
			throw error;
		}
	}

	readonly progress = (done: number, total: number): void => this.#monitor.progress(done, total);
}
