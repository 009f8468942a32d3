import type { ErrorCode } from "../../bundle/errors.ts";
import { notFound } from "./base.ts";
import type { HardwareFile } from "./hardware.ts";
import type { Base, ProfileFile } from "./schema.ts";

type Arch = "amd64" | "arm64";

/** Tells an error at the place of a key. */
export type Add = (code: ErrorCode, message: string, key: string) => void;

/** The flavour of kernel that every base has for every architecture it offers. */
export const GENERIC = "generic";

/**
 * What does not go together: FIPS, architecture, kernel flavour and firmware with the base, and the hardware set with the
 * architecture. Tells E_FIPS_BASE, E_ARCH_BASE, E_HARDWARE_ARCH, E_KERNEL_FLAVOUR, E_FIRMWARE_CLASS, each at its key.
 */
export function checkPair(values: ProfileFile, base: Base, hardware: HardwareFile | undefined, add: Add): void {
	const { arch, fips = false } = values;
	if (fips && base.fips === null) add("E_FIPS_BASE", `The base ${base.name} has no FIPS provider.`, "fips");
	if (values.boot === "uki" && base.uki === null)
		add("E_PROFILE_VALUE", `The base ${base.name} has no EFI stub for \`boot: uki\`.`, "boot");
	if (arch === undefined) return;
	if (hardware !== undefined && !hardware.arch.includes(arch)) {
		add("E_HARDWARE_ARCH", `${values.hardware} is hardware for ${hardware.arch.join(", ")}, not ${arch}.`, "hardware");
	}
	if (!base.arch.includes(arch)) {
		add("E_ARCH_BASE", `The base ${base.name} offers ${base.arch.join(", ")}, not ${arch}.`, "arch");
		return;
	}
	const flavours = Object.keys(kernelsOf(base, fips)[arch]);
	const { flavour = GENERIC } = values.kernel ?? {};
	if (!flavours.includes(flavour)) {
		const what = notFound("kernel flavour", flavour, flavours);
		add("E_KERNEL_FLAVOUR", `${what} (${base.name} on ${arch}${fips ? " in FIPS mode" : ""})`, "kernel.flavour");
	}
	for (const name of values.firmware ?? []) checkFirmware(name, base, arch, add);
}

function checkFirmware(name: string, base: Base, arch: Arch, add: Add): void {
	const { classes } = base.firmware;
	const found = classes[name];
	if (found === undefined) {
		const what = notFound("firmware class", name, Object.keys(classes));
		add("E_FIRMWARE_CLASS", `${what} (${base.name})`, `firmware.${name}`);
	} else if (found.arch !== undefined && !found.arch.includes(arch)) {
		const only = `The firmware class \`${name}\` of ${base.name} is for ${found.arch.join(", ")}, not ${arch}.`;
		add("E_FIRMWARE_CLASS", only, `firmware.${name}`);
	}
}

/** The base's kernels by architecture and flavour; in FIPS mode a vendor may have others. */
export function kernelsOf(base: Base, fips: boolean): Base["kernel"] {
	return (fips ? base.fips?.kernel : undefined) ?? base.kernel;
}

/** The base with the archive component that the chosen firmware needs: only who asks for such packages gets their archive. */
export function withFirmware(base: Base, classes: readonly string[]): Base {
	const { component } = base.firmware;
	if (component === null || classes.length === 0) return base;
	return { ...base, components: [...base.components, component] };
}
