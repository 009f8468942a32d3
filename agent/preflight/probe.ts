import { access, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "../../bundle/zod.ts";
import { diskSizes, wiredPorts } from "./devices.ts";

/** What the machine has. Recorded as `hardware.json`, so that the agent itself needs no privilege to know it. */
const hardware = z.strictObject({
	arch: z.string(),
	cores: z.int(),
	memoryMiB: z.int(),
	/** MiB of each built-in disk, largest first. */
	disks: z.array(z.int()),
	/** Wired network ports. */
	nics: z.int(),
	cpuFlags: z.array(z.string()),
	tpm: z.boolean(),
	cpu: z.string(),
	manufacturer: z.string(),
	model: z.string(),
});
export type Hardware = z.infer<typeof hardware>;

const ARCH: Record<string, string> = { x64: "amd64", arm64: "arm64" };

/** Asks the machine. The only user of systeminformation; only the calls that start few processes. */
export async function probe(): Promise<Hardware> {
	const { default: si } = await import("systeminformation"); // it looks around as soon as it is loaded
	const [cpu, memory, flags, system] = await Promise.all([si.cpu(), si.mem(), si.cpuFlags(), si.system()]);
	return {
		arch: ARCH[process.arch] ?? process.arch,
		cores: cpu.cores,
		memoryMiB: (await installedMiB()) ?? Math.floor(memory.total / 2 ** 20),
		disks: await diskSizes(),
		nics: await wiredPorts(),
		cpuFlags: flags.split(/\s+/).filter(Boolean).sort(),
		tpm: await access("/sys/class/tpm/tpm0").then(
			() => true,
			() => false,
		),
		cpu: cpu.brand,
		manufacturer: system.manufacturer,
		model: system.model,
	};
}

/**
 * Memory that is installed, not what the kernel leaves over: a machine with 8 GiB must satisfy `memoryMiB: 8192`.
 * Undefined where the kernel does not list memory blocks.
 */
async function installedMiB(): Promise<number | undefined> {
	const folder = "/sys/devices/system/memory";
	try {
		const blockSize = Number.parseInt(await readFile(join(folder, "block_size_bytes"), "utf8"), 16);
		const blocks = (await readdir(folder)).filter((name) => /^memory\d+$/.test(name)).length;
		return blocks > 0 && blockSize > 0 ? (blocks * blockSize) / 2 ** 20 : undefined;
	} catch {
		return undefined;
	}
}

/** The hardware as `<boot>/hardware.json` has it, written at boot with the rights to see everything; else as seen from here. */
export async function readHardware(boot: string): Promise<Hardware> {
	try {
		return hardware.parse(JSON.parse(await readFile(join(boot, "hardware.json"), "utf8")));
	} catch {
		return probe(); // not recorded, or torn by a crash: what can be seen from here counts
	}
}
