import { tracingChannel } from "node:diagnostics_channel";

/** A piece of work whose time is of interest. */
export interface Span {
	readonly track: Track;
	readonly name: string;
	/** Shown with it. Never a secret. */
	readonly args?: Readonly<Record<string, string>>;
}

export type Track = "stages" | "steps" | "programs";

/** What those who listen get: the span itself, and at its end what became of it. */
export type SpanMessage = Span & { readonly error?: unknown; readonly result?: unknown };

/** Nobody listens but with `build --trace`; then a span costs nothing. */
export const spans = tracingChannel<Span, SpanMessage>("slipway:span");

/** Does the work, and tells who listens when it began and ended. Result and failure are those of the work. */
export function span<T>(about: Span, work: () => Promise<T>): Promise<T> {
	return spans.tracePromise(work, { ...about });
}
