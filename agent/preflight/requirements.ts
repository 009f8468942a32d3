import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import type { Hardware } from "./probe.ts";

export interface Disk {
	readonly kind: "persistent" | "ephemeral";
	readonly sizeMiB: number;
}

/** Everything that the machine lacks of what the profile demands: one E_REQUIREMENTS for each, none when it suffices. */
export function missingRequirements(
	config: Pick<ApplianceConfig, "arch" | "requirements">,
	have: Hardware,
	disk: Disk,
): SlipwayError[] {
	const need = config.requirements;
	const disks = have.disks.filter((sizeMiB) => sizeMiB >= need.disks.sizeMiB).length;
	const flags = need.cpuFlags.filter((flag) => !have.cpuFlags.includes(flag));
	const faults = [
		have.arch !== config.arch && `The appliance is built for ${config.arch}; this machine is ${have.arch}.`,
		have.cores < need.cores && `CPU cores: ${need.cores} needed, ${have.cores} found.`,
		have.memoryMiB < need.memoryMiB && `Memory: ${need.memoryMiB} MiB needed, ${have.memoryMiB} MiB found.`,
		need.diskMiB > 0 && disk.kind === "ephemeral" && `Data disk: ${need.diskMiB} MiB needed, none found.`,
		need.diskMiB > 0 &&
			disk.kind === "persistent" &&
			disk.sizeMiB < need.diskMiB &&
			`Data disk: ${need.diskMiB} MiB needed, ${disk.sizeMiB} MiB found.`,
		disks < need.disks.count &&
			`Disks of ${need.disks.sizeMiB} MiB or more: ${need.disks.count} needed, ${disks} found.`,
		have.nics < need.nics && `Network ports: ${need.nics} needed, ${have.nics} found.`,
		flags.length > 0 && `CPU flags missing: ${flags.join(", ")}.`,
		need.tpm && !have.tpm && "A TPM is needed, none found.",
	];
	return faults
		.filter((fault) => fault !== false)
		.map(
			(fault) => new SlipwayError("E_REQUIREMENTS", fault, { next: "Use a machine that has it, or another profile." }),
		);
}
