import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { kernelOf } from "../archive/packages.ts";
import type { BootOptions } from "../cli/boot.ts";
import type { CommandContext } from "../cli/command.ts";
import { loadProfile, profileNames } from "../profile/load.ts";
import type { ResolvedProfile } from "../profile/resolve.ts";
import { qemuProgram } from "../tools/qemu.ts";
import { run } from "../tools/run.ts";
import { onlyFilter } from "./combinations.ts";
import { type BuiltRelease, findRelease } from "./find-release.ts";
import { type MatrixReport, matrixTable } from "./matrix-report.ts";
import { bootRow } from "./matrix-row.ts";
import { runRelease } from "./matrix-run.ts";

/**
 * `slipway boot --matrix`: starts the newest release of each profile in each combination of firmware and medium, one guest at a
 * time, and keeps the matrix beside the ISO (see runRelease).
 * Errors: E_USAGE, E_TOOL_MISSING, E_BOOT_CHECK when a boot failed, E_INTERRUPTED.
 */
export async function matrix(context: CommandContext, o: BootOptions, names: string[]): Promise<void> {
	const { signal } = context;
	const wanted = onlyFilter(o.only);
	const reports: MatrixReport[] = [];
	const failed: string[] = [];
	for (const [release, { profile, base }] of await findReleases(context.root, names, o.base)) {
		const { stdout } = await run(qemuProgram(profile.arch), ["--version"]);
		const host = { qemu: stdout.split("\n")[0]!, arch: process.arch };
		const boot = (combination: Parameters<typeof bootRow>[4]) => bootRow(signal, o, release, profile, combination);
		const startable = { ...profile, lacks: kernelOf(base, profile).lacks };
		const done = await runRelease({ release, startable, host, wanted, signal, boot });
		reports.push(done.report);
		failed.push(...done.failed);
	}
	context.print(
		() => reports.map(matrixTable).join("\n"),
		() => reports,
	);
	if (signal.aborted) throw new SlipwayError("E_INTERRUPTED", "Interrupted; what was run is in the boot matrix.");
	if (failed.length === 0) return;
	throw new SlipwayError("E_BOOT_CHECK", `These boots failed:\n${failed.join("\n")}`, {
		next: "Read the serial logs that the table names.",
	});
}

/** Newest release of each profile; without names, of those that have one. Errors: E_USAGE. */
async function findReleases(root: string, names: readonly string[], base: string | undefined) {
	const dist = join(root, "dist");
	const found: [BuiltRelease, ResolvedProfile][] = [];
	for (const name of names.length > 0 ? names : await profileNames(root)) {
		const { profile } = await loadProfile(root, name, { base });
		const release = await findRelease(dist, profile.name, base).catch((error: unknown) => {
			if (names.length > 0) throw error;
		});
		if (release === undefined) continue;
		found.push([release, await loadProfile(root, name, { base: release.manifest.base.name })]);
	}
	if (found.length > 0) return found;
	throw new SlipwayError("E_USAGE", `There is no ISO of any profile in ${dist}.`, {
		next: "Build one first: make iso PROFILE=NAME",
	});
}
