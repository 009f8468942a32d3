import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { findKeyring } from "../archive/sources.ts";
import { openMonitor } from "../monitor/monitor.ts";
import { checkForeign } from "../plan/foreign.ts";
import { placed } from "../plan/placed.ts";
import { planBuild } from "../plan/plan.ts";
import { checkProfile, prepareBuild } from "../plan/prepare.ts";
import { publish } from "../plan/publish.ts";
import { logFolder, runPlan } from "../plan/run-plan.ts";
import { formatBytes } from "../plan/space.ts";
import { askToken, checkToken } from "../plan/token.ts";
import { releaseName } from "../release/names.ts";
import { STAGES } from "../stages/index.ts";
import { span } from "../trace/span.ts";
import { type Tracing, traced } from "../trace/trace.ts";
import { displayPath } from "../yaml/load.ts";
import { type CommandContext, checkRoot } from "./command.ts";
import { notes } from "./plan.ts";
import type { BuildOptions } from "./program.ts";

/** Builds a profile and puts its release set into `dist/`. Errors: those of every step; nothing half-made is left. */
export async function build(context: CommandContext, options: Options, [profile]: string[]): Promise<void> {
	if (options.trace !== true) return buildProfile(context, options, profile!);
	const folder = logFolder(path.join(context.root, ".cache"), path.basename(profile!, ".yaml"));
	return traced(folder, (tracing) => buildProfile(context, options, profile!, tracing));
}

type Options = BuildOptions & { refresh?: boolean; inputs?: string; trace?: boolean };

async function buildProfile(
	{ root, print, signal }: CommandContext,
	options: Options,
	profile: string,
	tracing?: Tracing,
): Promise<void> {
	const started = performance.now();
	const request = { root, profile, ...options, env: process.env };
	const checked = await step("check the profile", () => checkProfile(request));
	await checkToken(checked, process.env);
	await placed(checked, request, () => checkForeign(root, checked));
	await placed(checked, request, () => findKeyring(checked.base, options.keyring));
	const known =
		options.refresh === true
			? undefined
			: await step("read what the archive said", () => prepareBuild(request, checked, { offline: true }));
	const askAboutToken = async () => {
		const note = await step("ask whether the token is good", () => askToken(checked, process.env, signal));
		if (note !== undefined) process.stderr.write(`${note}\n`);
	};
	if (known === undefined) {
		checkRoot();
		await askAboutToken();
		process.stderr.write(`Asking the archive of ${checked.base.title} which packages it has.\n`);
	}
	const ask = () => prepareBuild(request, checked, { offline: false, signal });
	const prepared = known ?? (await step("ask the archive", ask));
	const plan = await step("hash the sources and plan", () => planBuild(prepared, STAGES));
	const missing = plan.stages.filter((planned) => planned.cached === undefined);
	if (missing.length > 0) checkRoot();
	if (known !== undefined && missing.some(({ stage }) => stage.secrets?.includes("proToken"))) await askAboutToken();
	for (const note of notes(checked, prepared)) process.stderr.write(`${note}\n`);
	const onLogs = (folder: string) => {
		if (tracing !== undefined) tracing.folder = folder;
	};
	const monitor = await openMonitor(process.stderr);
	const stages = await placed(checked, request, () => runPlan(plan, { signal, monitor, onLogs }));
	const last = stages.at(-1);
	if (last?.name !== "attest") throw new SlipwayError("E_INTERNAL", "The last stage is not attest.");
	const name = releaseName(prepared);
	const folder = path.join(prepared.distDir, name);
	await step("publish", () => publish(last.out, folder, signal));
	const files = await listFiles(folder);
	const seconds = (performance.now() - started) / 1000;
	print(
		() =>
			[
				displayPath(folder),
				...files.map((file) => `  ${file.name}  ${formatBytes(file.size)}`),
				`Check it with: sh ${displayPath(folder)}/verify.sh`,
				"",
			].join("\n"),
		() => ({
			profile: prepared.profile.name,
			base: prepared.base.name,
			version: prepared.version,
			developmentKey: prepared.signer.development,
			folder,
			name,
			iso: path.join(folder, `${name}.iso`),
			files,
			stages: stages.map(({ name, id, cached, seconds }) => ({ name, id, cached, seconds })),
			seconds,
			trace: tracing?.file ?? null,
		}),
	);
}

function step<T>(name: string, work: () => Promise<T>): Promise<T> {
	return span({ track: "steps", name }, work);
}

async function listFiles(folder: string): Promise<{ name: string; size: number }[]> {
	const names = (await readdir(folder)).sort();
	return Promise.all(names.map(async (name) => ({ name, size: (await stat(path.join(folder, name))).size })));
}
