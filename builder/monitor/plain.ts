import { formatTime, heading, type Monitor, type Outcome, outcomeText, type StageLine } from "./monitor.ts";

/** Long work says that it is alive this often. */
const HEARTBEAT_MS = 30_000;

/** One line when a stage starts, one when it ends, and a sign of life in between: for logs and pipes. */
export class PlainMonitor implements Monitor {
	readonly #out: { write(text: string): unknown };
	#stage: StageLine | undefined;
	#started = 0;
	#lastLine = 0;
	#begun = false;

	constructor(out: { write(text: string): unknown }) {
		this.#out = out;
	}

	begin(stage: StageLine): void {
		this.#stage = stage;
		this.#started = Date.now();
		this.#begun = false;
	}

	progress(done: number, total: number): void {
		this.#start();
		if (Date.now() - this.#lastLine < HEARTBEAT_MS || total <= 0) return;
		const percent = Math.min(100, Math.floor((100 * done) / total));
		this.#line(`${percent} % after ${formatTime((Date.now() - this.#started) / 1000)}`);
	}

	note(text: string): void {
		this.#start();
		this.#line(text);
	}

	end(outcome: Outcome, seconds: number): void {
		this.#line(outcomeText(outcome, seconds));
		this.#stage = undefined;
	}

	/** A stage that turns out to be cached gets one line, not two. */
	#start(): void {
		if (this.#begun || this.#stage === undefined) return;
		this.#begun = true;
		this.#line(this.#stage.summary);
	}

	#line(text: string): void {
		this.#lastLine = Date.now();
		if (this.#stage !== undefined) this.#out.write(`${heading(this.#stage)} ${text}\n`);
	}
}
