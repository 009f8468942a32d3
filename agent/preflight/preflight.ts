import type { ApplianceConfig } from "../../bundle/appliance.ts";
import type { State } from "../status/state.ts";
import { volume } from "../store/files.ts";
import { bootFaults } from "./boot.ts";
import { fipsFault } from "./fips.ts";
import { readHardware } from "./probe.ts";
import { missingRequirements } from "./requirements.ts";

/**
 * Tells all that was refused at boot and all that the machine lacks, at once. False when nothing may be loaded: without FIPS
 * where it must be, or without the hardware.
 */
export async function preflight(config: ApplianceConfig, state: State): Promise<boolean> {
	state.condition("boot", ...(await bootFaults(config.boot)));
	const fips = fipsFault(state.status.fips);
	state.condition("fips", ...(fips ? [fips] : []));
	const { kind, size } = await volume(config.store);
	if (kind === "ephemeral") state.warn("anchor", "W_NO_ANCHOR", `The store ${config.store} is in memory.`);
	const disk = { kind, sizeMiB: Math.floor(size / 2 ** 20) };
	const missing = missingRequirements(config, await readHardware(config.boot), disk);
	state.condition("requirements", ...missing);
	return fips === undefined && missing.length === 0;
}
