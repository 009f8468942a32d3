import type { Status } from "./state.ts";

/** A whole set is verified and served. A degraded appliance serves too; what is wrong stands in its conditions. */
export function isReady(status: Status): boolean {
	return status.stage === "ready" || status.stage === "degraded";
}

/** The checks behind readiness as lines, in the form `[+]name ok` and `[-]name failed: CODE cause`. */
export function verbose(status: Status): string {
	const lines = status.conditions.map((c) => (c.ok ? `[+]${c.name} ok` : `[-]${c.name} failed: ${c.code} ${c.cause}`));
	return [...lines, `stage: ${status.stage}`, isReady(status) ? "readyz check passed" : "readyz check failed", ""].join(
		"\n",
	);
}
