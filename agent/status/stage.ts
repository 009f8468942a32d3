import type { Stage, Status } from "./state.ts";

/**
 * The stage once nothing is under way any more, computed from what the status holds and never from what was done: `failed`
 * when nothing is served, `serving` while a registry that must have it too has not, `ready` when a whole set is served and nothing
 * is wrong, else `degraded`.
 */
export function settledStage(
	status: Pick<Status, "servedFrom" | "mediumPresent" | "missingBlobs" | "conditions" | "bundles" | "target">,
): Stage {
	if (status.servedFrom === null) return "failed";
	if (status.target?.delivered === false) return "serving";
	const fine = status.conditions.every((c) => c.ok) && status.bundles.every((b) => b.state !== "absent");
	return fine && isBacked(status) ? "ready" : "degraded";
}

/** Every served name's closure has a verified source: the store's blobs, or the bundles of a medium that is there. */
export function isBacked(status: Pick<Status, "servedFrom" | "mediumPresent" | "missingBlobs">): boolean {
	if (status.servedFrom === null || status.missingBlobs?.length !== 0) return false;
	return status.servedFrom === "store" || status.mediumPresent === true;
}
