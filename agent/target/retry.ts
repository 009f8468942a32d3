import { setTimeout as sleep } from "node:timers/promises";

/** Something that may be different in a moment: a cut connection, a busy or restarting registry. */
export class Transient extends Error {
	/** What the registry asked us to wait, in milliseconds. */
	readonly waitMs: number;

	constructor(message: string, options: { waitMs?: number; cause?: unknown } = {}) {
		super(message, { cause: options.cause });
		this.waitMs = options.waitMs ?? 0;
	}
}

/** How often and how soon something is tried again (each pause is twice the one before), and how much is sent at a time. */
export interface Pace {
	readonly tries: number;
	readonly firstMs: number;
	readonly maxMs: number;
	/** Most bytes of one request: what a cut costs. Larger blobs go in several. */
	readonly chunk: number;
}

export const PACE: Pace = { tries: 6, firstMs: 250, maxMs: 30_000, chunk: 32 * 1024 * 1024 };

/** The pause before another attempt, with jitter so that many boxes do not come back at once. Ends early when aborted. */
export async function pause(pace: Pace, failures: number, error: Transient, signal: AbortSignal): Promise<void> {
	const wanted = Math.max(error.waitMs, pace.firstMs * 2 ** (failures - 1) * (0.75 + Math.random() / 2));
	await sleep(Math.min(wanted, pace.maxMs), undefined, { signal });
}

/** Runs `work` until it does not fail with Transient, at most `pace.tries` times; then throws that last failure. */
export async function retrying<T>(work: () => Promise<T>, pace: Pace, signal: AbortSignal): Promise<T> {
	for (let failures = 1; ; failures++) {
		try {
			return await work();
		} catch (error) {
			if (!(error instanceof Transient) || failures >= pace.tries) throw error;
			await pause(pace, failures, error, signal);
		}
	}
}
