import { z } from "zod";
import { list, name } from "./words.ts";

/** One word of the kernel line, without quotes, and none that decides which root is booted and whether it is checked. */
const kernelArgument = z
	.string()
	.regex(
		/^(?!(?:fips|root|init|rdinit)(?:=|$)|(?:rd\.)?systemd[._-]|SYSTEMD_|panic=|rd\.(?:live|overlay|shell|break|debug)|slipway\.|(?:single|emergency|rescue|[sS1-5])$|-+$)[\x21\x23-\x26\x28-\x7e]+$/,
		"one word without quotes, and not fips=, root=, init=, panic=, systemd., rd.systemd., rd.live, rd.overlay, rd.shell, rd.break, rd.debug, slipway. or a runlevel",
	);

/** What a hardware set says of the machine, and a profile may say over it. */
export const machineKeys = {
	kernel: z
		.strictObject({
			flavour: name
				.optional()
				.describe("Kernel of the base: `generic`, the default, or `cloud`, a smaller one for guests without USB"),
			arguments: list(kernelArgument, "append")
				.optional()
				.describe("Added to the kernel line; none that says which root is booted, in which mode, or opens a shell"),
		})
		.optional(),
	firmware: list(name, "append")
		.optional()
		.describe("Classes of devices that need firmware, as the base has them (`./slipway list` names all)"),
	console: z
		.strictObject({
			serial: z
				.string()
				.regex(/^tty[A-Z]+[0-9]+$/)
				.optional()
				.describe("Serial port, such as ttyS0"),
			baud: z.int().min(1200).max(4_000_000).optional().describe("Its speed"),
		})
		.optional(),
	requirements: z
		.strictObject({
			cores: z.int().min(1).optional().describe("Least number of CPU cores"),
			memoryMiB: z.int().min(256).optional().describe("Least memory in MiB"),
			diskMiB: z.int().min(0).optional().describe("Least size of the data disk in MiB; 0: none needed"),
			disks: z
				.strictObject({
					count: z.int().min(0).optional().describe("How many"),
					sizeMiB: z.int().min(0).optional().describe("Least size of each in MiB"),
				})
				.optional()
				.describe("Built-in disks, whatever is on them; neither sticks nor the medium count"),
			nics: z.int().min(0).optional().describe("Least number of wired network ports"),
			cpuFlags: list(z.string().regex(/^[a-z0-9_]+$/, "a flag as in /proc/cpuinfo"), "append")
				.optional()
				.describe("CPU flags that must be there"),
			tpm: z.boolean().optional().describe("A TPM must be there"),
		})
		.optional()
		.describe("What the agent demands of the hardware before it loads anything"),
};
