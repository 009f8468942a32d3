import { setImmediate } from "node:timers/promises";
import type { Trust } from "../../bundle/trust.ts";
import { verifyContents } from "../../bundle/verify.ts";
import type { State } from "../status/state.ts";
import type { Medium } from "./medium.ts";

/**
 * Verifies the bundles that are served in place as a whole, `.sig.bin` included, while they are served: the condition
 * `wholeFileVerified` is a warning until that is settled. Reads everything once and stores nothing.
 * Errors: those of verifyContents; E_INTERRUPTED by the signal.
 */
export async function checkWhole(medium: Medium, trust: Trust, state: State, signal: AbortSignal): Promise<void> {
	const names = medium.bundles.map(({ index }) => index.name).join(", ");
	state.warn("wholeFileVerified", "W_WHOLE_FILE", `The signatures over the whole files of ${names} are being checked.`);
	for (const bundle of medium.bundles) {
		// Whoever asks for a blob goes first.
		const options = { signal, onProgress: async () => void (await setImmediate()) };
		try {
			await medium.using(() => verifyContents(bundle, trust, options));
		} catch (error) {
			if (!signal.aborted) state.markBundle(bundle.indexDigest, "bad");
			throw error;
		}
	}
	state.condition("wholeFileVerified");
}
