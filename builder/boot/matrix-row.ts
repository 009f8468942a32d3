import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import type { BootOptions } from "../cli/boot.ts";
import type { Profile } from "../profile/schema.ts";
import { checkReady } from "./check-ready.ts";
import type { Combination } from "./combinations.ts";
import type { BuiltRelease } from "./find-release.ts";
import type { MatrixRow } from "./matrix-report.ts";
import { withReadyGuest } from "./ready-guest.ts";
import { readSerial } from "./serial.ts";

/** A combination in which nothing has been started. */
export function rowNotRun({ firmware, media, impossible }: Combination, wanted: boolean): MatrixRow {
	return {
		...{ firmware, media, startedAt: null, accelerator: null, secondsToReady: null, secureBoot: null },
		...{ checks: [], failed: [], serialLog: null },
		result: impossible === null ? "not-run" : "impossible",
		reason: impossible ?? (wanted ? "interrupted before its turn" : "left out by --only"),
	};
}

/** Starts one combination to ready and looks it over. What goes wrong is the row's reason, so that the others are run too. */
export async function bootRow(
	signal: AbortSignal,
	o: Pick<BootOptions, "memory" | "timeout">,
	release: BuiltRelease,
	profile: Profile,
	combination: Combination,
): Promise<MatrixRow> {
	const { firmware, media } = combination;
	const log = `${release.name}.boot-matrix-${firmware}-${media}.serial.log`;
	const serialLog = join(release.folder, log);
	const row = { ...rowNotRun(combination, true), startedAt: new Date().toISOString(), serialLog: log };
	const machine = { release, profile, firmware, media, memory: o.memory, timeout: o.timeout, disk: null, serialLog };
	try {
		return await withReadyGuest(
			{ ...machine, signal },
			({ accel }) => (row.accelerator = accel),
			async (ready) => {
				row.secondsToReady = ready.secondsToReady;
				const { secureBoot, checks } = await checkReady({ ...machine, signal }, ready);
				const bad = checks.filter((one) => !one.ok);
				return {
					...{ ...row, secureBoot, checks: checks.map(({ name }) => name), failed: bad.map(({ name }) => name) },
					result: bad.length === 0 ? "passed" : "failed",
					reason: bad.length === 0 ? noteOf(profile) : bad.map((one) => `${one.name}: ${one.detail}`).join("; "),
				};
			},
		);
	} catch (error) {
		if (!(error instanceof SlipwayError)) throw error;
		if (error.code === "E_INTERRUPTED") return { ...row, result: "not-run", reason: "interrupted" };
		const { secureBoot } = await readSerial(serialLog);
		return { ...row, secureBoot, result: "failed", reason: `${error.code}: ${error.message}` };
	}
}

function noteOf(profile: Profile): string | null {
	return profile.network.expose === "lan" ? null : "shows itself on no network: the console's word, nothing was pulled";
}
