import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { attempt, type CheckRequest, check, checkImage, readStatus } from "./check.ts";
import type { RunningGuest } from "./guest.ts";
import { get } from "./pinned.ts";
import type { BoxStatus, Check } from "./report.ts";

/** An emulated machine on a busy host needs its time. */
const PATIENCE_MS = 300_000;
const LOOK_MS = 1_000;

export interface MediumRequest extends CheckRequest {
	readonly guest: Pick<RunningGuest, "pullMedium" | "insertMedium">;
}

/**
 * Pulls the stick out of a ready appliance with its root in memory, and puts it back: one that serves in place says that the
 * medium is gone, and serves again when it is back; one with a store serves all the while. Errors: E_INTERRUPTED.
 */
export function checkPulledMedium(o: MediumRequest): Promise<Check[]> {
	return attempt("medium", async () => {
		const { servedFrom } = await readStatus(o.status);
		await o.guest.pullMedium();
		if (servedFrom === "store") return image(o, "without the medium");
		const gone = await waitFor(o, "medium pulled out", ({ code }, ready) => code === "E_MEDIUM_GONE" && !ready);
		await o.guest.insertMedium();
		const back = await waitFor(o, "medium put back", ({ code }, ready) => code === null && ready);
		return [gone, back, ...(back.ok ? await image(o, "medium put back") : [])];
	});
}

type Condition = Pick<BoxStatus["conditions"][number], "code" | "cause">;

/** Waits until what the box says of its medium, and whether it is ready, is as it should be. */
async function waitFor(o: MediumRequest, name: string, right: (c: Condition, ready: boolean) => boolean) {
	const until = Date.now() + PATIENCE_MS;
	for (;;) {
		const late = Date.now() > until;
		// One answer that does not come, on a host that is busy, is no answer yet.
		const status = await readStatus(o.status).catch((error: unknown) => {
			if (late) throw error;
		});
		if (status !== undefined) {
			const ready = (await get(o.status, "/readyz"))?.status === 200;
			const condition = status.conditions.find((one) => one.name === "medium") ?? { code: null, cause: "" };
			const medium = condition.code === null ? "the medium is there" : `${condition.code} ${condition.cause}`;
			const said = `${status.stage}, ${ready ? "ready" : "not ready"}: ${medium}`;
			if (right(condition, ready)) return check(name, true, said);
			if (late) return check(name, false, said);
		}
		await sleep(LOOK_MS);
	}
}

async function image(o: MediumRequest, when: string): Promise<Check[]> {
	const work = join(o.work, "medium");
	await mkdir(work);
	const checks = await attempt("image", () => checkImage({ ...o, work }));
	return checks.map((one) => ({ ...one, name: `${when}: ${one.name}` }));
}
