export interface StageLine {
	readonly name: string;
	readonly summary: string;
	/** Counted from 1. */
	readonly number: number;
	readonly total: number;
}

/** A stage is built or cached; any other step is done. */
export type Outcome = "cached" | "built" | "done" | "failed";

/** What a stage tells while it runs. */
export interface StageMonitor {
	/** Units are the stage's own. */
	progress(done: number, total: number): void;
	/** Why nothing moves right now, such as a wait for another build. */
	note(text: string): void;
}

/** Watches a build; the engine only tells it what happens. One stage is shown at a time. */
export interface Monitor extends StageMonitor {
	begin(stage: StageLine): void;
	end(outcome: Outcome, seconds: number): void;
}

/** Redraws one line in place on a terminal, prints plain lines anywhere else. */
export async function openMonitor(stream: NodeJS.WriteStream): Promise<Monitor> {
	if (stream.isTTY && process.env.TERM !== "dumb") return new (await import("./terminal.ts")).TerminalMonitor(stream);
	return new (await import("./plain.ts")).PlainMonitor(stream);
}

/** ` 3/9 agent    `: the same columns in both monitors. */
export function heading(stage: StageLine): string {
	return `${String(stage.number).padStart(2)}/${stage.total} ${stage.name.padEnd(9)}`;
}

/** `4.2 s`, `1:07` or `1:02:03`. */
export function formatTime(seconds: number): string {
	if (seconds < 60) return `${seconds.toFixed(1)} s`;
	const whole = Math.floor(seconds);
	const two = (n: number) => String(n).padStart(2, "0");
	const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
	return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function outcomeText(outcome: Outcome, seconds: number): string {
	if (outcome === "cached") return "cached";
	return `${outcome} ${outcome === "failed" ? "after" : "in"} ${formatTime(seconds)}`;
}
