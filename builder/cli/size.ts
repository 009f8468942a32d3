import { type Command, Option } from "commander";
import { action } from "./command.ts";

/** What `size` takes. */
export interface SizeOptions {
	readonly base?: string;
	readonly all?: boolean;
	readonly svg?: string;
}

/** Adds `size`. */
export function registerSize(program: Command): void {
	const size = program
		.command("size")
		.description("Show where an ISO's bytes went, as a table and as a tree map (X.size.svg)")
		.argument("[iso]", "an ISO, or the name of a profile: its newest ISO; default: the newest of all")
		.addOption(
			new Option("--base <name>", "of a profile, the ISO on this base; default: the newest on any").env("BASE"),
		)
		.option("--all", "list every part, not only the largest")
		.option("--svg <file>", "where the tree map goes; default: X.size.svg beside X.iso")
		.option("--json", "print the result as JSON");
	action(size, async () => (await import("../size/size.ts")).size);
}
