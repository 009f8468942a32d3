import { SlipwayError } from "../../bundle/errors.ts";
import { type Span, type SpanMessage, spans, type Track } from "./span.ts";

/** An event of the Chrome trace format; times in microseconds. */
export type TraceEvent =
	| {
			readonly ph: "X";
			readonly name: string;
			readonly cat: Track;
			readonly pid: number;
			readonly tid: number;
			readonly ts: number;
			readonly dur: number;
			readonly args: Readonly<Record<string, string | number>>;
	  }
	| {
			readonly ph: "M";
			readonly name: "process_name" | "thread_name" | "thread_sort_index";
			readonly pid: number;
			readonly tid: number;
			readonly args: Readonly<Record<string, string | number>>;
	  };

interface Timed {
	readonly span: Span;
	readonly start: number;
	end: number | undefined;
	outcome: Readonly<Record<string, string | number>>;
}

/** From top to bottom. */
const TRACKS: readonly Track[] = ["stages", "steps", "programs"];
const PID = 1;

/** Notes every span of this process from now on; `stop` ends that and gives the events. */
export function recordSpans(): { stop(): TraceEvent[] } {
	const begun = performance.now();
	const all: Timed[] = [];
	const open = new Map<unknown, Timed>();
	const end = (message: SpanMessage, outcome: Timed["outcome"]) => {
		const timed = open.get(message);
		if (timed === undefined) return;
		[timed.end, timed.outcome] = [performance.now() - begun, outcome];
		open.delete(message);
	};
	const listener = {
		start: (span: Span) => {
			// Not the message itself: it is given the result, which may be long.
			const { track, name, args } = span;
			const timed = {
				span: { track, name, ...(args && { args }) },
				start: performance.now() - begun,
				end: undefined,
				outcome: {},
			};
			all.push(timed);
			open.set(span, timed);
		},
		end: () => undefined,
		asyncStart: () => undefined,
		asyncEnd: (message: SpanMessage) => end(message, exitCode(message.result)),
		error: (message: SpanMessage) => end(message, { error: errorName(message.error) }),
	};
	spans.subscribe(listener);
	return {
		stop: () => {
			spans.unsubscribe(listener);
			return toEvents(all, performance.now() - begun);
		},
	};
}

function exitCode(result: unknown): Timed["outcome"] {
	const code = (result as { exitCode?: unknown } | undefined)?.exitCode;
	return typeof code === "number" ? { exitCode: code } : {};
}

/** The code alone: a message may be long, and is told elsewhere. */
function errorName(error: unknown): string {
	return error instanceof SlipwayError ? error.code : String((error as Error | undefined)?.name);
}

function toEvents(all: readonly Timed[], now: number): TraceEvent[] {
	const events: TraceEvent[] = [meta("process_name", 0, "slipway build")];
	for (const [i, track] of TRACKS.entries()) {
		const lanes: number[] = [];
		for (const { span, start, end = now, outcome } of all.filter((one) => one.span.track === track)) {
			// Events of one thread must not cross each other, so what runs at the same time gets a lane of its own.
			const free = lanes.findIndex((until) => until <= start);
			const lane = free === -1 ? lanes.length : free;
			lanes[lane] = end;
			const tid = 1000 * (i + 1) + lane;
			const [ts, dur] = [Math.round(start * 1000), Math.round((end - start) * 1000)];
			events.push({ ph: "X", name: span.name, cat: track, pid: PID, tid, ts, dur, args: { ...span.args, ...outcome } });
		}
		for (const lane of lanes.keys()) {
			const tid = 1000 * (i + 1) + lane;
			events.push(
				meta("thread_name", tid, lane === 0 ? track : `${track} (${lane + 1})`),
				meta("thread_sort_index", tid, tid),
			);
		}
	}
	return events;
}

function meta(
	name: "process_name" | "thread_name" | "thread_sort_index",
	tid: number,
	value: string | number,
): TraceEvent {
	return { ph: "M", name, pid: PID, tid, args: name === "thread_sort_index" ? { sort_index: value } : { name: value } };
}
