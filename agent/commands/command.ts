import { type ParseArgsConfig, parseArgs } from "node:util";
import { SlipwayError } from "../../bundle/errors.ts";

/** One subcommand of `slipway agent`. Adding one edits the list in list.ts. */
export interface Command {
	readonly name: string;
	/** One line for the list. */
	readonly summary: string;
	/** Its own options, as lines of help, beside --config, --json, --debug and --help. */
	readonly options: readonly Option[];
	/** Gives the exit code. */
	run(call: Call): Promise<number>;
}

export interface Option {
	readonly name: string;
	/** What stands for its value in the help; none: it is a switch. */
	readonly value?: string;
	readonly help: string;
}

type Values = Readonly<Record<string, string | boolean | undefined>>;

export interface Call {
	/** The configuration file. */
	readonly config: string;
	readonly json: boolean;
	/** The command's own options that were given. */
	readonly options: Values;
	print(text: string): void;
}

const COMMON: readonly Option[] = [
	{ name: "config", value: "FILE", help: "the agent's configuration" },
	{ name: "json", help: "print the answer as JSON" },
	{ name: "debug", help: "show where an unexpected error came from" },
	{ name: "help", help: "this text" },
];

/** Runs a command with its arguments; gives the exit code. Errors: E_USAGE and those of the command. */
export async function runCommand(command: Command, argv: readonly string[]): Promise<number> {
	const known = [...command.options, ...COMMON];
	const values = parse(argv, known, command.name);
	const print = (text: string) => void process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
	if (values.help === true) {
		print(`Usage: slipway agent ${command.name} --config FILE [options]\n\n${command.summary}.\n\n${lines(known)}`);
		return 0;
	}
	if (typeof values.config !== "string") {
		throw new SlipwayError("E_USAGE", "--config is missing.", {
			next: `Run \`slipway agent ${command.name} --help\`.`,
		});
	}
	return command.run({ config: values.config, json: values.json === true, options: values, print });
}

/** Options as aligned lines of help. */
function lines(options: readonly Option[]): string {
	const heads = options.map(({ name, value }) => `--${name}${value === undefined ? "" : ` ${value}`}`);
	const width = Math.max(...heads.map((head) => head.length));
	return options.map(({ help }, i) => `  ${heads[i]!.padEnd(width)}   ${help}`).join("\n");
}

function parse(argv: readonly string[], known: readonly Option[], name: string): Values {
	const options: NonNullable<ParseArgsConfig["options"]> = {};
	for (const option of known) options[option.name] = { type: option.value === undefined ? "boolean" : "string" };
	options.help = { type: "boolean", short: "h" };
	try {
		return parseArgs({ args: [...argv], options }).values as Values;
	} catch (error) {
		throw new SlipwayError("E_USAGE", (error as Error).message, { next: `Run \`slipway agent ${name} --help\`.` });
	}
}
