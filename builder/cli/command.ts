import path from "node:path";
import type { Command } from "commander";
import { SlipwayError } from "../../bundle/errors.ts";

/** What every command gets besides its own arguments. */
export interface CommandContext {
	/** Project folder. */
	readonly root: string;
	readonly json: boolean;
	/** Aborted by Ctrl-C, SIGTERM, and the closing of the terminal. */
	readonly signal: AbortSignal;
	/** Prints the result: `data` with --json, else `text`. Both are made only when they are wanted. */
	print(text: () => string, data: () => unknown): void;
}

type Handler<Options> = (context: CommandContext, options: Options, args: string[]) => Promise<void>;

/**
 * Adds a subcommand's action. `load` imports the module that does the work when the command runs, so that no command pays for
 * another's libraries.
 */
export function action<Options>(command: Command, load: () => Promise<Handler<Options>>): void {
	command.action(async (...parts: unknown[]) => {
		const self = parts.at(-1) as Command;
		// A variable that is set but empty (`make` passes them on like that) is not set.
		const given = Object.entries(self.optsWithGlobals()).filter(([, value]) => value !== "");
		const options = Object.fromEntries(given) as Options & { json?: boolean };
		const json = options.json === true;
		const print = (text: () => string, data: () => unknown) => {
			process.stdout.write(json ? `${JSON.stringify(data(), null, "\t")}\n` : text());
		};
		const run = await load();
		await run({ root: projectRoot, json, signal: interruptSignal(), print }, options, self.args);
	});
}

/** For work that mmdebstrap does as root; a build of which all is there needs no rights. Errors: E_NOT_ROOT. */
export function checkRoot(): void {
	if (process.geteuid?.() === 0) return;
	throw new SlipwayError("E_NOT_ROOT", "This needs root: packages are unpacked as root's files.", {
		next: "Run `make iso`, which asks for it through sudo, or run the same command with sudo.",
	});
}

export const projectRoot: string = path.resolve(import.meta.dirname, "../..");

/**
 * One signal for the whole process: the first SIGINT (Ctrl-C), SIGTERM or SIGHUP (the terminal was closed) aborts and lets
 * clean-ups run, a second one ends it at once.
 */
export function interruptSignal(): AbortSignal {
	const abort = new AbortController();
	const stop = () => {
		if (abort.signal.aborted) process.exit(5);
		abort.abort();
		process.stderr.write("\nStopping; cleaning up first.\n");
	};
	process.on("SIGINT", stop).on("SIGTERM", stop).on("SIGHUP", stop);
	return abort.signal;
}
