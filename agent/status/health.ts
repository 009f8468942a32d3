import { isBacked } from "./stage.ts";
import type { Status } from "./state.ts";

/**
 * A whole verified set is served: there is one, all of its blobs have a verified source, and no other set is being loaded. A
 * degraded appliance may be ready; what is wrong stands in its conditions.
 */
export function isReady(status: Status): boolean {
	return (status.stage === "ready" || status.stage === "degraded") && isBacked(status);
}

/** The checks behind readiness as lines, in the form `[+]name ok` and `[-]name failed: CODE cause`. */
export function verbose(status: Status): string {
	const lines = status.conditions.map((c) =>
		c.ok ? `[+]${c.name} ${c.code ?? "ok"}` : `[-]${c.name} failed: ${c.code} ${c.cause}`,
	);
	return [...lines, `stage: ${status.stage}`, isReady(status) ? "readyz check passed" : "readyz check failed", ""].join(
		"\n",
	);
}
