import { setTimeout as sleep } from "node:timers/promises";
import { SlipwayError } from "../../bundle/errors.ts";
import { get, type Pinned, pin } from "./pinned.ts";
import { readSerial } from "./serial.ts";

/** For so long a box may show a certificate that its console has not told. */
export const STRANGE_MS = 60_000;

export interface WaitOptions {
	readonly serialLog: string;
	/** Port of this host that leads to the status endpoint; null when the appliance shows it to itself alone. */
	readonly statusPort: number | null;
	readonly timeoutMs: number;
	readonly signal: AbortSignal;
	/** Settles when the guest has ended. */
	readonly ended: Promise<unknown>;
	/** Told about each new state. */
	readonly onState: (state: string) => void;
}

/**
 * Waits until the appliance is ready: `/readyz` over TLS, with the certificate whose fingerprint stands on the serial console;
 * without a port, the console's word. Errors: E_BOOT_TIMEOUT, E_BOOT_CHECK when it says `failed` or the guest ends, E_INTERRUPTED.
 */
export async function waitReady(o: WaitOptions): Promise<Pinned | undefined> {
	const until = Date.now() + o.timeoutMs;
	let alive = true;
	void o.ended.then(
		() => (alive = false),
		() => (alive = false),
	);
	let state: string | undefined;
	const box = new LatestBox();
	for (;;) {
		if (o.signal.aborted) throw new SlipwayError("E_INTERRUPTED", "Interrupted.");
		const seen = await readSerial(o.serialLog);
		if (seen.state !== undefined && seen.state !== state) o.onState(seen.state);
		state = seen.state;
		if (state === "failed") throw new SlipwayError("E_BOOT_CHECK", `The appliance failed:\n${seen.tail}`, readLog(o));
		if (o.statusPort === null) {
			if (state === "ready" || state === "degraded") return undefined;
		} else if (seen.tlsSha256 !== undefined) {
			const pinned = await box.at(o.statusPort, seen.tlsSha256);
			if (pinned !== undefined && (await get(pinned, "/readyz"))?.status === 200) return pinned;
		}
		if (!alive)
			throw new SlipwayError("E_BOOT_CHECK", `The guest ended before it was ready:\n${seen.tail}`, readLog(o));
		if (Date.now() > until) {
			throw new SlipwayError(
				"E_BOOT_TIMEOUT",
				`The guest was not ready after ${Math.round(o.timeoutMs / 1000)} s. Its console ends with:\n${seen.tail}`,
				readLog(o),
			);
		}
		await sleep(500, undefined, { signal: o.signal }).catch(() => undefined);
	}
}

/** An appliance that gets an address makes itself another certificate, and its console tells of it a moment later. */
class LatestBox {
	#told: string | undefined;
	#pinned: Pinned | undefined;
	#strangeSince: number | undefined;

	/** The box that shows the certificate told last. Errors: E_BOOT_CHECK when it has shown another from then on. */
	async at(port: number, sha256: string): Promise<Pinned | undefined> {
		if (sha256 !== this.#told) [this.#told, this.#pinned, this.#strangeSince] = [sha256, undefined, undefined];
		try {
			this.#pinned ??= await pin(port, sha256);
		} catch (error) {
			this.#strangeSince ??= Date.now();
			if (Date.now() - this.#strangeSince > STRANGE_MS) throw error;
		}
		return this.#pinned;
	}
}

function readLog(o: WaitOptions): { next: string } {
	return { next: `Read the serial log: ${o.serialLog}` };
}
