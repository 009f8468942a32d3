import path from "node:path";
import { z } from "zod";
import { ledMap } from "../../bundle/appliance.ts";
import { type Place, SlipwayError } from "../../bundle/errors.ts";
import { readYaml, throwAll, type Yaml } from "../yaml/load.ts";
import { namesIn, notFound } from "./base.ts";
import { machineKeys } from "./machine.ts";
import { API_VERSION, arch, name, text } from "./words.ts";

/** A kind of machine (`profiles/hardware/NAME.yaml`); its name is the file's. A profile's own keys go over it. */
export const hardwareSchema = z.strictObject({
	apiVersion: z.literal(API_VERSION).describe("Schema version of this file"),
	kind: z.literal("Hardware"),
	title: text.max(80).describe("What people call it"),
	arch: z.array(arch).min(1).describe("Architectures it exists for"),
	tested: z
		.union([
			z.literal(false),
			z
				.array(
					z.strictObject({
						arch: arch.describe("Architecture that was booted"),
						base: name.describe("Base that was booted"),
						booted: text.min(1).describe("What it was booted on, and how"),
					}),
				)
				.min(1),
		])
		.describe("What has really been booted; `false`: nothing"),
	...machineKeys,
	leds: ledMap.optional().describe("Lights of the machine that show the agent's stage"),
});
export type HardwareFile = z.infer<typeof hardwareSchema>;

function hardwareFolder(root: string): string {
	return path.join(root, "profiles", "hardware");
}

/** Names of all hardware sets. */
export function hardwareNames(root: string): Promise<string[]> {
	return namesIn(hardwareFolder(root));
}

/**
 * Reads `profiles/hardware/NAME.yaml`, with all that is wrong with it among its `errors`.
 * Errors: E_HARDWARE_NOT_FOUND with the nearest name, at `at` where a profile names it.
 */
export async function readHardware(root: string, name: string, at?: Place): Promise<Yaml<HardwareFile>> {
	const names = await hardwareNames(root);
	if (!names.includes(name)) {
		throw new SlipwayError(
			"E_HARDWARE_NOT_FOUND",
			notFound("hardware set", name, names),
			at === undefined ? {} : { at },
		);
	}
	return readYaml(path.join(hardwareFolder(root), `${name}.yaml`), hardwareSchema, "E_HARDWARE_NOT_FOUND");
}

/** As `readHardware`, for callers that need the value: throws all that is wrong. Errors: those, E_PROFILE_KEY, E_PROFILE_VALUE. */
export async function loadHardware(root: string, name: string): Promise<HardwareFile> {
	const { value, errors } = await readHardware(root, name);
	throwAll(errors);
	return value as HardwareFile;
}

/** Whether a set has been booted on that architecture and base. */
export function isTested({ tested }: Pick<HardwareFile, "tested">, arch: string, base: string): boolean {
	return tested !== false && tested.some((one) => one.arch === arch && one.base === base);
}
