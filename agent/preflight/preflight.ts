import type { ApplianceConfig } from "../../bundle/appliance.ts";
import type { KernelLine } from "../load/kernel.ts";
import type { State } from "../status/state.ts";
import { volume } from "../store/files.ts";
import { bootFaults } from "./boot.ts";
import { fipsFault } from "./fips.ts";
import { readHardware } from "./probe.ts";
import { missingRequirements } from "./requirements.ts";
import { rootImage } from "./root-image.ts";

/**
 * Tells all that was refused at boot and all that the machine lacks, at once. False when nothing may be loaded: without FIPS
 * where it must be, without the hardware, or from a root image that is not checked as the kernel line asks.
 */
export async function preflight(config: ApplianceConfig, kernel: KernelLine, state: State): Promise<boolean> {
	state.condition("boot", ...(await bootFaults(config.boot)));
	const { status: boot, faults: root } = await rootImage(config.boot, kernel);
	state.update({ boot });
	if (kernel.verity !== undefined || root.length > 0) state.condition("root", ...root);
	const fips = fipsFault(state.status.fips);
	state.condition("fips", ...(fips ? [fips] : []));
	const { kind, size } = await volume(config.store);
	if (kind === "ephemeral") state.warn("anchor", "W_NO_ANCHOR", `The store ${config.store} is in memory.`);
	const disk = { kind, sizeMiB: Math.floor(size / 2 ** 20) };
	const missing = missingRequirements(config, await readHardware(config.boot), disk);
	state.condition("requirements", ...missing);
	return fips === undefined && missing.length === 0 && root.length === 0;
}
