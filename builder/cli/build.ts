import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import { openMonitor } from "../monitor/monitor.ts";
import { planBuild } from "../plan/plan.ts";
import { checkProfile, checkToken, prepareBuild } from "../plan/prepare.ts";
import { publish } from "../plan/publish.ts";
import { runPlan } from "../plan/run-plan.ts";
import { formatBytes } from "../plan/space.ts";
import { releaseName } from "../release/names.ts";
import { STAGES } from "../stages/index.ts";
import { displayPath } from "../yaml/load.ts";
import type { CommandContext } from "./command.ts";
import { notes } from "./plan.ts";
import type { BuildOptions } from "./program.ts";

/** Builds a profile and puts its release set into `dist/`. Errors: those of every step; nothing half-made is left. */
export async function build(
	{ root, print, signal }: CommandContext,
	options: BuildOptions & { refresh?: boolean; inputs?: string },
	[profile]: string[],
): Promise<void> {
	const started = performance.now();
	const request = { root, profile: profile as string, ...options, env: process.env };
	const checked = await checkProfile(request);
	await checkToken(checked, process.env);
	const known = options.refresh === true ? undefined : await prepareBuild(request, checked, { offline: true });
	if (known === undefined) {
		checkRoot();
		process.stderr.write(`Asking the archive of ${checked.base.title} which packages it has.\n`);
	}
	const prepared = known ?? (await prepareBuild(request, checked, { offline: false, signal }));
	const plan = await planBuild(prepared, STAGES);
	if (plan.stages.some((stage) => stage.cached === undefined)) checkRoot();
	for (const note of notes(checked, prepared)) process.stderr.write(`${note}\n`);
	const stages = await runPlan(plan, { signal, monitor: await openMonitor(process.stderr) });
	const last = stages.at(-1);
	if (last?.name !== "attest") throw new SlipwayError("E_INTERNAL", "The last stage is not attest.");
	const name = releaseName(prepared);
	const folder = path.join(prepared.distDir, name);
	await publish(last.out, folder, signal);
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
		}),
	);
}

/** A build without work needs no rights, so this is asked only when a stage must run. */
function checkRoot(): void {
	if (process.geteuid?.() === 0) return;
	throw new SlipwayError("E_NOT_ROOT", "Making the root image needs root: it is installed as root's files.", {
		next: "Run `make iso`, which asks for it through sudo, or run the same command with sudo.",
	});
}

async function listFiles(folder: string): Promise<{ name: string; size: number }[]> {
	const names = (await readdir(folder)).sort();
	return Promise.all(names.map(async (name) => ({ name, size: (await stat(path.join(folder, name))).size })));
}
