/** Programs that are running: ended at once if this process ends before them. */
const running = new Set<number>();
let watching = false;

export const KILL_AFTER_MS = 10_000;

export interface Supervision {
	/** Why the group was told to end, if it was. */
	readonly stopped: "abort" | "timeout" | undefined;
	/** To be called when the program has ended. */
	end(): void;
}

/**
 * Ends a program and everything it started (its process group, whose leader it must be) on abort or after `timeout` milliseconds:
 * SIGTERM, so that it can release its mounts, SIGKILL ten seconds later. A signal to the program alone would let what it started
 * go on, and some programs wait for that.
 */
export function supervise(pid: number, signal: AbortSignal | undefined, timeout: number | undefined): Supervision {
	if (!watching) process.on("exit", () => [...running].forEach((group) => void send(group, "SIGKILL")));
	watching = true;
	running.add(pid);
	let stopped: Supervision["stopped"];
	let hard: NodeJS.Timeout | undefined;
	const stop = (why: "abort" | "timeout") => {
		if (stopped !== undefined) return;
		stopped = why;
		send(pid, "SIGTERM");
		hard = setTimeout(() => send(pid, "SIGKILL"), KILL_AFTER_MS);
	};
	const onAbort = () => stop("abort");
	const soft = timeout === undefined ? undefined : setTimeout(() => stop("timeout"), timeout);
	if (signal?.aborted) onAbort();
	signal?.addEventListener("abort", onAbort, { once: true });
	return {
		get stopped() {
			return stopped;
		},
		end() {
			clearTimeout(soft);
			clearTimeout(hard);
			signal?.removeEventListener("abort", onAbort);
			running.delete(pid);
			// What it has left running must not write into folders that are removed next.
			if (stopped !== undefined) send(pid, "SIGKILL");
		},
	};
}

function send(group: number, signal: NodeJS.Signals): void {
	try {
		process.kill(-group, signal);
	} catch {
		// It has ended already.
	}
}
