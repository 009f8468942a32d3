import type { Command } from "commander";
import { action } from "./command.ts";

/** What `flash` takes. */
export interface FlashOptions {
	readonly key?: string;
	readonly yes?: boolean;
	readonly yesReally?: boolean;
}

/** Adds `flash`. */
export function registerFlash(program: Command): void {
	const flash = program
		.command("flash")
		.description("Write an ISO to a stick: check it, write, read back, compare")
		.argument("<iso>", "the ISO; what its release has beside it (.sha256, .sig.bin, public_key.pem) is checked first")
		.argument("<device>", "the whole disk, such as /dev/sdb; refused while anything uses it")
		.option("--key <file>", "public key that must have signed the ISO; default: public_key.pem beside it")
		.option("--yes", "do not ask; for scripts")
		.option("--yes-really", "allow a disk that is not removable; without a terminal to ask on, it means --yes too")
		.option("--json", "print the result as JSON");
	action(flash, async () => (await import("../flash/flash.ts")).flash);
}
