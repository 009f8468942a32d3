import { existsSync } from "node:fs";
import { firmwareCost, firmwareLines } from "../archive/firmware-cost.ts";
import { lockPath } from "../lock/lock-file.ts";
import { heading } from "../monitor/monitor.ts";
import type { Build } from "../plan/build.ts";
import { planBuild, stagesOf } from "../plan/plan.ts";
import { type Checked, checkProfile, prepareBuild } from "../plan/prepare.ts";
import { fipsStatement } from "../release/manifest.ts";
import { hasDevelopmentKey } from "../signing/development-key.ts";
import { STAGES } from "../stages/index.ts";
import { hostArch } from "../tools/host-arch.ts";
import { displayPath } from "../yaml/load.ts";
import type { CommandContext } from "./command.ts";
import type { BuildOptions } from "./program.ts";

/** Prints what a build would do. Runs no stage and asks no archive. */
export async function plan(
	{ root, print }: CommandContext,
	options: BuildOptions & { inputs?: string },
	[profile]: string[],
): Promise<void> {
	const request = { root, profile: profile as string, ...options, env: process.env };
	const checked = await checkProfile(request);
	// A plan changes nothing, so it does not make the key that the first build makes.
	const keyed = options.inputs !== undefined || process.env.SIGNING_KEY || (await hasDevelopmentKey(root));
	const build = keyed ? await prepareBuild(request, checked, { offline: true }) : undefined;
	const missing = keyed ? "the package archive has not been asked yet" : "there is no signing key yet";
	const stages = build === undefined ? unresolved(checked, missing) : (await planBuild(build, STAGES)).stages;
	const firmware = firmwareCost(checked.base, checked.profile, build?.resolve.sizes);
	const rows = stages.map(({ name, reason, ...rest }) => ({
		name,
		id: "id" in rest ? rest.id : null,
		cached: reason === "cached",
		reason,
	}));
	print(
		() =>
			[
				title(checked, build),
				...notes(checked, build),
				...firmwareLines(firmware),
				...rows.map((row, i) => line(row, i, rows.length)),
				"",
			].join("\n"),
		() => ({
			profile: checked.profile.name,
			base: checked.base.name,
			version: build?.version ?? null,
			packages: checked.packages,
			proPackages: checked.proPackages,
			hardware: checked.profile.hardware,
			firmware,
			archive:
				build === undefined ? null : { resolvedAt: build.resolve.resolvedAt, inRelease: build.resolve.inRelease },
			notes: notes(checked, build),
			stages: rows,
		}),
	);
}

function unresolved({ profile }: Checked, reason: string) {
	return stagesOf({ profile, hostArch: hostArch() }, STAGES).map(({ name }) => ({ name, reason }));
}

function title({ profile, base, hardware }: Checked, build: Build | undefined): string {
	return `${profile.name} ${build?.version ?? profile.version} for ${profile.arch}${profile.fips ? " in FIPS mode" : ""}, on ${base.title}${hardware === null ? "" : `, for ${hardware.title}`}`;
}

/** What a person should know before building: certification, token, age of the package set. */
export function notes({ profile, base, proPackages, file }: Checked, build: Build | undefined): string[] {
	const found: string[] = [];
	if (profile.fips && base.fips !== null) found.push(fipsStatement(base.fips).statement);
	if (proPackages.length > 0) {
		found.push(`Packages from Ubuntu Pro: ${proPackages.join(", ")}.`);
		if ((process.env.PRO_TOKEN_FILE ?? "") === "") {
			found.push(
				"A build needs an Ubuntu Pro token: set PRO_TOKEN_FILE=, or build the laboratory base with BASE=debian-13.",
			);
		}
	}
	if (build !== undefined) {
		const releases = build.resolve.inRelease.map(({ suite, date }) => `${suite} of ${day(date * 1000)}`).join(", ");
		found.push(
			build.lock === undefined
				? `Packages as resolved ${age(build.resolve.resolvedAt)} (${releases}); \`build --refresh\` asks again.`
				: `Packages as locked in ${displayPath(build.lock)} (${releases}).`,
		);
		// It may have none for this base, or an inputs file says which.
		if (build.lock === undefined && existsSync(lockPath(file)))
			found.push(`This build takes no packages from ${displayPath(lockPath(file))}.`);
		if (build.signer.development) found.push("Signed with a development key: not for production.");
	}
	return found;
}

function line(row: { name: string; cached: boolean; reason: string }, i: number, total: number): string {
	const text = row.cached ? "cached" : `runs: ${row.reason}`;
	return `${heading({ name: row.name, summary: "", number: i + 1, total })} ${text}`;
}

function day(ms: number): string {
	return new Date(ms).toISOString().slice(0, 10);
}

function age(time: string): string {
	const minutes = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 60_000));
	if (minutes < 90) return `${minutes} minutes ago`;
	return minutes < 48 * 60 ? `${Math.round(minutes / 60)} hours ago` : `${Math.round(minutes / 1440)} days ago`;
}
