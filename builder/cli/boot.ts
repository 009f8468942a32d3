import type { Command } from "commander";

/** Adds `boot`. */
export function registerBoot(program: Command): void {
	program.command("boot").description("Start a built ISO in QEMU");
}
