import type { Status } from "./state.ts";

/**
 * A whole verified set is served: there is one, none of its blobs is lost, and no other set is being loaded. A degraded
 * appliance may be ready; what is wrong stands in its conditions.
 */
export function isReady({ stage, missingBlobs }: Pick<Status, "stage" | "missingBlobs">): boolean {
	return (stage === "ready" || stage === "degraded") && missingBlobs?.length === 0;
}

/** The checks behind readiness as lines, in the form `[+]name ok` and `[-]name failed: CODE cause`. */
export function verbose(status: Status): string {
	const lines = status.conditions.map((c) => (c.ok ? `[+]${c.name} ok` : `[-]${c.name} failed: ${c.code} ${c.cause}`));
	return [...lines, `stage: ${status.stage}`, isReady(status) ? "readyz check passed" : "readyz check failed", ""].join(
		"\n",
	);
}
