import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { FsType } from "./disk.ts";
import { keep, type Report, type Run, record, replay } from "./power-cuts.ts";

/**
 * Power cuts. `test/crash/run` starts this in mount and pid name spaces of its own.
 *
 *   --fs ext4|xfs --states N [--rounds N] [--seed N]   record and replay; each round with a seed of its own
 *   --again FOLDER [--state N]                         replay what a failed run has kept, or one state of it
 *   --attached                                         end when stdin does: who started it is gone
 */
const { values } = parseArgs({
	options: {
		fs: { type: "string", default: "ext4" },
		states: { type: "string", default: "750" },
		rounds: { type: "string", default: "1" },
		seed: { type: "string", default: String(Date.now() % 1_000_000) },
		again: { type: "string" },
		state: { type: "string" },
		attached: { type: "boolean" },
	},
});
// As process 1 of its name space it would not notice them otherwise. When it ends, all that it mounted is gone.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));
if (values.attached) process.stdin.on("end", () => process.exit(130)).resume();

const folder = mkdtempSync(join(tmpdir(), "slipway-crash-"));
execFileSync("mount", ["-t", "tmpfs", "-o", "size=6g", "slipway-crash", folder]);
process.on("exit", () => {
	execFileSync("umount", ["--lazy", folder]);
	rmdirSync(folder);
});
let failed = false;
if (values.again === undefined) {
	for (let round = 0; round < Number(values.rounds); round++) await runOnce(round);
} else {
	execFileSync("cp", ["--recursive", "--sparse=always", `${values.again}/.`, folder]);
	const run: Run = { ...JSON.parse(readFileSync(join(folder, "run.json"), "utf8")), folder };
	mkdirSync(join(folder, "mnt"));
	tell(run, await replay(run, values.state === undefined ? undefined : Number(values.state)));
}
process.exit(failed ? 1 : 0);

async function runOnce(round: number): Promise<void> {
	const own = join(folder, String(round));
	mkdirSync(own);
	const run = await record(own, values.fs as FsType, Number(values.seed) + round, Number(values.states));
	const report = await replay(run);
	tell(run, report);
	if (report.faults.length > 0 && process.env.CRASH_KEEP !== "0") {
		const kept = mkdtempSync(join(tmpdir(), "slipway-crash-kept-"));
		keep(run, kept);
		console.log(`The run is kept: test/crash/run --again ${kept} --state NUMBER`);
	}
	execFileSync("rm", ["-r", own]);
}

function tell(run: Run, { entries, prefixes, reorderings, reruns, faults }: Report): void {
	for (const fault of faults.slice(0, 20)) console.log(`${run.fs} ${fault}`);
	console.log(
		`${run.fs}: seed ${run.seed}, ${entries} log entries, ${prefixes} prefixes, ${reorderings} reorderings, ` +
			`${reruns} reruns, ${faults.length} bad states`,
	);
	failed ||= faults.length > 0;
}
