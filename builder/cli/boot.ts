import { type Command, InvalidArgumentError, Option } from "commander";
import { action } from "./command.ts";

/** What `boot` takes. */
export interface BootOptions {
	readonly base?: string;
	readonly firmware: "bios" | "uefi";
	readonly media: "cd" | "usb";
	readonly check?: boolean;
	/** MiB. */
	readonly memory?: number;
	/** Seconds. */
	readonly timeout: number;
	readonly disk?: string;
}

/** Adds `boot`. */
export function registerBoot(program: Command): void {
	const boot = program
		.command("boot")
		.description("Start a profile's newest ISO in QEMU, wait until it is ready, and say where it answers")
		.argument("<profile>", "name of the profile")
		.addOption(new Option("--base <name>", "the ISO on this base; default: the newest on any").env("BASE"))
		.addOption(new Option("--firmware <kind>", "firmware of the machine").choices(["bios", "uefi"]).default("uefi"))
		.addOption(new Option("--media <kind>", "what the ISO is written to").choices(["cd", "usb"]).default("cd"))
		.option("--check", "pull an image, compare it with the signed index, write X.boot-report.json, and stop")
		.option(
			"--memory <MiB>",
			"memory of the machine; default: what the profile requires, and room for the content",
			whole,
		)
		.option("--timeout <seconds>", "how long it may take to become ready", whole, 900)
		.option("--disk <image>", "raw image of a further disk, such as one with a data partition")
		.option("--json", "print the result as JSON");
	action(boot, async () => (await import("../boot/boot.ts")).boot);
}

function whole(text: string): number {
	if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
	throw new InvalidArgumentError("It must be a whole number.");
}
