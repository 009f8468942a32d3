import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Profile } from "../profile/schema.ts";
import { giveToCaller } from "../signing/caller.ts";
import type { Firmware } from "../tools/qemu.ts";
import { run } from "../tools/run.ts";
import type { BuiltRelease } from "./find-release.ts";
import { type RunningGuest, startGuest } from "./guest.ts";
import type { Pinned } from "./pinned.ts";
import { waitReady } from "./wait.ts";

const STATUS_PORT = 8080;
const REGISTRY_PORT = 5000;

/** How one machine is made of a release. */
export interface MachineOptions {
	readonly release: BuiltRelease;
	readonly profile: Profile;
	readonly firmware: Firmware;
	readonly media: "cd" | "usb";
	/** MiB; default: what the profile requires, and room for the content. */
	readonly memory: number | undefined;
	/** Raw image of a further disk. */
	readonly disk: string | null;
	/** Seconds. */
	readonly timeout: number;
	/** File that gets what the guest says on its serial port; it is kept. */
	readonly serialLog: string;
	readonly signal: AbortSignal;
}

/** An appliance that is ready, and how it came to that. */
export interface ReadyGuest {
	readonly guest: RunningGuest;
	readonly startedAt: Date;
	/** From the start of QEMU to `/readyz`. */
	readonly secondsToReady: number;
	readonly memory: number;
	/** Ports of this host; null when the appliance shows itself on no network. */
	readonly lan: { readonly status: Pinned; readonly registryPort: number } | null;
	/** Empty scratch folder. */
	readonly work: string;
}

/**
 * Starts a release in QEMU, waits until it is ready, and hands it to `use`. However that ends, the guest is stopped and nothing
 * but the serial log is left. `onStart` is told the accelerator before the wait begins.
 * Errors: E_TOOL_MISSING, E_BOOT_TIMEOUT, E_BOOT_CHECK, E_INTERRUPTED.
 */
export async function withReadyGuest<T>(
	o: MachineOptions,
	onStart: (guest: RunningGuest) => void,
	use: (ready: ReadyGuest) => Promise<T>,
): Promise<T> {
	const { release, profile, serialLog, signal } = o;
	const lan = profile.network.expose === "lan";
	const memory = o.memory ?? Math.max(profile.requirements.memoryMiB, 1536) + contentMiB(release) * 2;
	const work = await mkdtemp(join(tmpdir(), "slipway-boot-"));
	let guest: RunningGuest | undefined;
	try {
		await writeFile(serialLog, "");
		await giveToCaller(serialLog);
		const startedAt = new Date();
		guest = await startGuest({
			...{ arch: profile.arch, firmware: o.firmware, media: o.media, iso: release.iso, memory, serialLog, work, run },
			ownKey: profile.boot === "uki",
			...{ disk: o.disk, ports: lan ? [STATUS_PORT, REGISTRY_PORT] : [], signal },
		});
		onStart(guest);
		say(`${release.name}.iso: ${o.firmware}, ${o.media}, ${memory} MiB, ${guest.accel} (${guest.why})`);
		say(`Console: ${serialLog}`);
		const [statusPort = null, registryPort = null] = guest.ports;
		const started = performance.now();
		const seconds = () => (performance.now() - started) / 1000;
		const status = await waitReady({
			...{ serialLog, statusPort, timeoutMs: o.timeout * 1000, signal, ended: guest.ended },
			onState: (state) => say(`${String(Math.round(seconds())).padStart(4)} s  ${state}`),
		});
		const secondsToReady = Math.round(seconds() * 10) / 10;
		const shown = status === undefined ? null : { status, registryPort: registryPort! };
		return await use({ guest, startedAt, secondsToReady, memory, lan: shown, work });
	} finally {
		await guest?.stop().finally(() => rm(work, { recursive: true, force: true }));
		await rm(work, { recursive: true, force: true });
	}
}

/** Without a data disk the store lies in memory. */
function contentMiB({ manifest }: BuiltRelease): number {
	return Math.ceil(manifest.bundles.reduce((sum, bundle) => sum + bundle.size, 0) / 2 ** 20);
}

/** Progress is not the result, so it does not go to standard output. */
export function say(line: string): void {
	process.stderr.write(`${line}\n`);
}
