import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import type { BootOptions } from "../cli/boot.ts";
import type { CommandContext } from "../cli/command.ts";
import { loadProfile } from "../profile/load.ts";
import { giveToCaller } from "../signing/caller.ts";
import { run } from "../tools/run.ts";
import { checkBox } from "./check.ts";
import { type BuiltRelease, findRelease } from "./find-release.ts";
import { type RunningGuest, startGuest } from "./guest.ts";
import { checkPulledMedium } from "./medium.ts";
import type { Pinned } from "./pinned.ts";
import type { BootReport } from "./report.ts";
import { readSerial } from "./serial.ts";
import { waitReady } from "./wait.ts";

const STATUS_PORT = 8080;
const REGISTRY_PORT = 5000;

/**
 * `slipway boot`: starts a release's ISO, waits until it is ready, then prints its addresses and stays until Ctrl-C or the guest's
 * end; with `--check` looks it over, writes the report and stops. Errors: E_USAGE, E_TOOL_MISSING, E_BOOT_TIMEOUT, E_BOOT_CHECK.
 */
export async function boot(context: CommandContext, o: BootOptions, [name]: string[]): Promise<void> {
	// A profile or base that does not exist is told as that, not as an ISO that is still to be built.
	await loadProfile(context.root, name!, { base: o.base });
	const release = await findRelease(join(context.root, "dist"), name!, o.base);
	const { profile } = await loadProfile(context.root, name!, { base: release.manifest.base.name });
	const lan = profile.network.expose === "lan";
	if (!lan && o.check === true) {
		throw new SlipwayError("E_USAGE", `${name} shows itself on no network, so nothing can be pulled from it.`, {
			next: "Leave out --check, or use a profile with `network: {expose: lan}`.",
		});
	}
	const memory = o.memory ?? Math.max(profile.requirements.memoryMiB, 1536) + contentMiB(release) * 2;
	const work = await mkdtemp(join(tmpdir(), "slipway-boot-"));
	const serialLog = join(release.folder, `${release.name}.boot-serial.log`);
	await writeFile(serialLog, "");
	await giveToCaller(serialLog);
	let guest: RunningGuest | undefined;
	try {
		const startedAt = new Date();
		guest = await startGuest({
			...{ arch: profile.arch, firmware: o.firmware, media: o.media, iso: release.iso, memory, serialLog, work, run },
			disk: o.disk ?? null,
			ports: lan ? [STATUS_PORT, REGISTRY_PORT] : [],
			signal: context.signal,
		});
		say(`${release.name}.iso: ${o.firmware}, ${o.media}, ${memory} MiB, ${guest.accel} (${guest.why})`);
		say(`Console: ${serialLog}`);
		const [statusPort = null, registryPort = null] = guest.ports;
		const started = performance.now();
		const status = await waitReady({
			...{ serialLog, statusPort, timeoutMs: o.timeout * 1000, signal: context.signal, ended: guest.ended },
			onState: (state) => say(`${String(Math.round((performance.now() - started) / 1000)).padStart(4)} s  ${state}`),
		});
		const secondsToReady = Math.round((performance.now() - started) / 100) / 10;
		const facts = { startedAt, secondsToReady, memory, guest, rootInMemory: profile.root === "ram" };
		if (o.check === true)
			await check(context, o, release, { ...facts, status: status!, registryPort: registryPort!, work });
		else await stay(context, { status: statusPort, registry: registryPort, secondsToReady, serialLog }, guest);
	} finally {
		await guest?.stop().finally(() => rm(work, { recursive: true, force: true }));
		await rm(work, { recursive: true, force: true });
	}
}

interface Facts {
	readonly startedAt: Date;
	readonly secondsToReady: number;
	readonly memory: number;
	readonly guest: RunningGuest;
	readonly status: Pinned;
	readonly registryPort: number;
	readonly work: string;
	readonly rootInMemory: boolean;
}

async function check(context: CommandContext, o: BootOptions, release: BuiltRelease, f: Facts): Promise<void> {
	const { folder, name, manifest } = release;
	const serial = await readSerial(join(folder, `${name}.boot-serial.log`));
	const registry = { port: f.registryPort, tlsSha256: serial.tlsSha256! };
	const request = { run, folder, manifest, status: f.status, registry, work: f.work };
	const { status, checks } = await checkBox(request);
	// A root that is read from the stick would not survive it.
	if (f.rootInMemory && o.media === "usb") checks.push(...(await checkPulledMedium({ ...request, guest: f.guest })));
	const report: BootReport = {
		format: 1,
		iso: { file: `${name}.iso`, sha256: manifest.iso.sha256 },
		startedAt: f.startedAt.toISOString(),
		firmware: o.firmware,
		media: o.media,
		accelerator: f.guest.accel,
		acceleratorReason: f.guest.why,
		memoryMiB: f.memory,
		secondsToReady: f.secondsToReady,
		checks,
		ok: checks.every((one) => one.ok),
		status,
	};
	const file = join(folder, `${name}.boot-report.json`);
	await writeFile(file, `${JSON.stringify(report, null, "\t")}\n`);
	await giveToCaller(file);
	context.print(
		() => `${checks.map((one) => `${one.ok ? "ok  " : "FAIL"}  ${one.name}: ${one.detail}`).join("\n")}\n${file}\n`,
		() => report,
	);
	if (report.ok) return;
	const failed = checks.filter((one) => !one.ok).map((one) => one.name);
	throw new SlipwayError("E_BOOT_CHECK", `The appliance failed: ${failed.join(", ")}.`, {
		next: `Read the report: ${file}`,
	});
}

async function stay(
	context: CommandContext,
	at: { status: number | null; registry: number | null; secondsToReady: number; serialLog: string },
	guest: RunningGuest,
): Promise<void> {
	const url = (port: number | null, path: string) => (port === null ? null : `https://127.0.0.1:${port}${path}`);
	const result = { ...at, status: url(at.status, "/"), registry: url(at.registry, "/v2/"), accelerator: guest.accel };
	context.print(
		() =>
			[
				`Ready after ${at.secondsToReady} s.`,
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

/** Without a data disk the store lies in memory. */
function contentMiB({ manifest }: BuiltRelease): number {
	return Math.ceil(manifest.bundles.reduce((sum, bundle) => sum + bundle.size, 0) / 2 ** 20);
}

/** Progress is not the result, so it does not go to standard output. */
function say(line: string): void {
	process.stderr.write(`${line}\n`);
}
