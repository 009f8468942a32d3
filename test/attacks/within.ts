import { setTimeout } from "node:timers/promises";

/** What the work comes to; rejects when it takes longer than that, in milliseconds of the wall clock: it hangs. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
	const done = new AbortController();
	const late = setTimeout(ms, undefined, { ref: false, signal: done.signal }).then(() => {
		throw new Error(`it hangs: no end within ${ms / 1000} s`);
	});
	late.catch(() => undefined); // of no interest once the work has ended
	return Promise.race([work, late]).finally(() => done.abort());
}
