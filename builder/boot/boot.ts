import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import type { BootOptions } from "../cli/boot.ts";
import type { CommandContext } from "../cli/command.ts";
import { loadProfile } from "../profile/load.ts";
import { giveToCaller } from "../signing/caller.ts";
import { checkReady } from "./check-ready.ts";
import { type BuiltRelease, findRelease } from "./find-release.ts";
import { type MachineOptions, type ReadyGuest, withReadyGuest } from "./ready-guest.ts";
import type { BootReport } from "./report.ts";

/**
 * `slipway boot`: starts a release's ISO, waits until it is ready, then prints its addresses and stays until Ctrl-C or the guest's
 * end; with `--check` looks it over, writes the report and stops. With `--matrix` see runMatrix(). Errors: E_USAGE,
 * E_TOOL_MISSING, E_BOOT_TIMEOUT, E_BOOT_CHECK.
 */
export async function boot(context: CommandContext, o: BootOptions, names: string[]): Promise<void> {
	if (o.matrix === true) return (await import("./matrix.ts")).matrix(context, o, names);
	const [name, another] = names;
	if (name === undefined || another !== undefined || o.only !== undefined) {
		throw new SlipwayError("E_USAGE", "Without --matrix, `boot` takes the name of one profile, and no --only.");
	}
	// A profile or base that does not exist is told as that, not as an ISO that is still to be built.
	const named = await loadProfile(context.root, name, { base: o.base });
	const release = await findRelease(join(context.root, "dist"), named.profile.name, o.base);
	const { profile } = await loadProfile(context.root, name, { base: release.manifest.base.name });
	if (profile.network.expose !== "lan" && o.check === true) {
		throw new SlipwayError("E_USAGE", `${name} shows itself on no network, so nothing can be pulled from it.`, {
			next: "Leave out --check, or use a profile with `network: {expose: lan}`.",
		});
	}
	const { firmware, media, memory, timeout, disk = null } = o;
	const serialLog = join(release.folder, `${release.name}.boot-serial.log`);
	const machine = { release, profile, firmware, media, memory, timeout, disk, serialLog, signal: context.signal };
	await withReadyGuest(
		machine,
		() => undefined,
		(ready) => (o.check === true ? check(context, machine, ready) : stay(context, machine, ready)),
	);
}

async function check(context: CommandContext, machine: MachineOptions, ready: ReadyGuest): Promise<void> {
	const { firmware, media, release } = machine;
	const { status, checks } = await checkReady(machine, ready);
	const report: BootReport = {
		format: 1,
		iso: { file: `${release.name}.iso`, sha256: release.manifest.iso.sha256 },
		startedAt: ready.startedAt.toISOString(),
		firmware,
		media,
		accelerator: ready.guest.accel,
		acceleratorReason: ready.guest.why,
		memoryMiB: ready.memory,
		secondsToReady: ready.secondsToReady,
		checks,
		ok: checks.every((one) => one.ok),
		status,
	};
	const file = reportFile(release);
	await writeFile(file, `${JSON.stringify(report, null, "\t")}\n`);
	await giveToCaller(file);
	context.print(
		() => `${checks.map((one) => `${one.ok ? "ok  " : "FAIL"}  ${one.name}: ${one.detail}`).join("\n")}\n${file}\n`,
		() => report,
	);
	if (report.ok) return;
	const failed = checks.filter((one) => !one.ok).map((one) => `${one.name}: ${one.detail}`);
	throw new SlipwayError("E_BOOT_CHECK", `The appliance failed:\n${failed.join("\n")}`, {
		next: `Read the report: ${file}`,
	});
}

function reportFile({ folder, name }: BuiltRelease): string {
	return join(folder, `${name}.boot-report.json`);
}

async function stay(
	context: CommandContext,
	{ serialLog }: MachineOptions,
	{ guest, lan, secondsToReady }: ReadyGuest,
): Promise<void> {
	const url = (port: number | undefined, path: string) =>
		port === undefined ? null : `https://127.0.0.1:${port}${path}`;
	const result = {
		...{ secondsToReady, serialLog, accelerator: guest.accel },
		status: url(lan?.status.port, "/"),
		registry: url(lan?.registryPort, "/v2/"),
	};
	context.print(
		() =>
			[
				`Ready after ${secondsToReady} s.`,
				...(result.status === null ? ["It shows itself on no network; its console is all there is to see."] : []),
				...(result.status === null ? [] : [`Status:   ${result.status}`, `Registry: ${result.registry}`]),
				"Ctrl-C stops it.",
				"",
			].join("\n"),
		() => result,
	);
	const stopped = new Promise<void>((done) => context.signal.addEventListener("abort", () => done(), { once: true }));
	await Promise.race([guest.ended, stopped]);
}
