import { formatTime, heading, type Monitor, type Outcome, outcomeText, type StageLine } from "./monitor.ts";

const BAR = 24;
const REDRAW_MS = 200;

/** One line a stage, redrawn in place while it runs: name, bar once there is progress, elapsed time, what it does. */
export class TerminalMonitor implements Monitor {
	readonly #out: NodeJS.WriteStream;
	#stage: StageLine | undefined;
	#started = 0;
	#share: number | undefined;
	#text = "";
	#timer: NodeJS.Timeout | undefined;

	constructor(out: NodeJS.WriteStream) {
		this.#out = out;
	}

	begin(stage: StageLine): void {
		this.#stage = stage;
		this.#started = Date.now();
		this.#share = undefined;
		this.#text = stage.summary;
		this.#timer = setInterval(() => this.#draw(), REDRAW_MS);
		// The picture must not keep the process alive.
		this.#timer.unref();
		this.#draw();
	}

	progress(done: number, total: number): void {
		if (total > 0) this.#share = Math.min(1, done / total);
		this.#text = this.#stage?.summary ?? "";
	}

	note(text: string): void {
		this.#text = text;
		this.#draw();
	}

	end(outcome: Outcome, seconds: number): void {
		clearInterval(this.#timer);
		if (this.#stage !== undefined) this.#write(`${heading(this.#stage)} ${outcomeText(outcome, seconds)}`, "\n");
		this.#stage = undefined;
	}

	#draw(): void {
		if (this.#stage === undefined) return;
		const elapsed = formatTime((Date.now() - this.#started) / 1000).padStart(7);
		this.#write(`${heading(this.#stage)} ${this.#bar()}${elapsed}  ${this.#text}`, "");
	}

	#bar(): string {
		if (this.#share === undefined) return "";
		const full = Math.round(this.#share * BAR);
		return `${"█".repeat(full)}${"░".repeat(BAR - full)} ${String(Math.floor(this.#share * 100)).padStart(3)} %`;
	}

	/** Cut to the terminal's width: a line that wraps could not be redrawn in place. */
	#write(line: string, end: string): void {
		this.#out.write(`\r\x1b[K${line.slice(0, Math.max(20, (this.#out.columns ?? 80) - 1))}${end}`);
	}
}
