import { type Command, InvalidArgumentError, Option } from "commander";
import { FIRMWARE, type Firmware } from "../tools/qemu.ts";
import { action } from "./command.ts";

const FIRMWARE_HELP =
	"firmware of the machine; `uefi` has no keys enrolled, `uefi-secureboot` has Microsoft's and Secure Boot on";

/** What `boot` takes. */
export interface BootOptions {
	readonly base?: string;
	readonly firmware: Firmware;
	readonly media: "cd" | "usb";
	readonly check?: boolean;
	/** MiB. */
	readonly memory?: number;
	/** Seconds. */
	readonly timeout: number;
	readonly disk?: string;
	readonly matrix?: boolean;
	readonly only?: string[];
}

/** Adds `boot`. */
export function registerBoot(program: Command): void {
	const boot = program
		.command("boot")
		.description("Start a profile's newest ISO in QEMU, wait until it is ready, and say where it answers")
		.argument("[profiles...]", "name or file of the profile; with --matrix any number, default: all that were built")
		.addOption(new Option("--base <name>", "the ISO on this base; default: the newest on any").env("BASE"))
		.addOption(new Option("--firmware <kind>", FIRMWARE_HELP).choices(FIRMWARE).default("uefi-secureboot"))
		.addOption(new Option("--media <kind>", "what the ISO is written to").choices(["cd", "usb"]).default("cd"))
		.option("--check", "pull an image, compare it with the signed index, write X.boot-report.json, and stop")
		.option(
			"--memory <MiB>",
			"memory of the machine; default: what the profile requires, and room for the content",
			whole,
		)
		.option("--timeout <seconds>", "how long it may take to become ready", whole, 900)
		.option("--disk <image>", "raw image of a further disk, such as one with a data partition")
		.option(
			"--matrix",
			"check all combinations of firmware and medium, and write X.boot-matrix.json, .junit.xml and .md",
		)
		.option("--only <words...>", "with --matrix, those alone: a firmware, a medium, or both, such as bios/cd")
		.option("--json", "print the result as JSON");
	action(boot, async () => (await import("../boot/boot.ts")).boot);
}

function whole(text: string): number {
	if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
	throw new InvalidArgumentError("It must be a whole number.");
}
