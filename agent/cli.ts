import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { SlipwayError, SlipwayErrors } from "../bundle/errors.ts";
import { startAgent } from "./agent.ts";
import { runCommand } from "./commands/command.ts";
import { COMMANDS } from "./commands/list.ts";
import { readConfig } from "./config/read.ts";
import { probe } from "./preflight/probe.ts";
import { slipwayErrors } from "./status/state.ts";

const COMMAND_WIDTH = 2 + Math.max(...COMMANDS.map(({ name }) => name.length));
const USAGE = `Usage: slipway agent --config FILE
       slipway agent COMMAND --config FILE
       slipway agent --probe FILE

Verifies the content that FILE names, loads it into a local store and serves it as a read-only OCI registry.

  --config FILE   configuration, YAML or JSON (docs/agent.md)
  --probe FILE    write what hardware this machine has to FILE, and end
  --debug         show where an unexpected error came from
  --help          this text

Commands for the agent that runs with that configuration, or where it makes sense, for the store of one that does not:

${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(COMMAND_WIDTH)}${summary}`).join("\n")}
`;

async function main(argv: readonly string[]): Promise<void> {
	const command = COMMANDS.find(({ name }) => name === argv[0]);
	if (command !== undefined) {
		process.exitCode = await runCommand(command, argv.slice(1));
		return;
	}
	const options = parse(argv);
	if (options.help) {
		process.stdout.write(USAGE);
	} else if (options.probe !== undefined) {
		await writeFile(options.probe, `${JSON.stringify(await probe(), null, "\t")}\n`);
	} else if (options.config !== undefined) {
		await serve(options.config);
	} else {
		throw new SlipwayError("E_USAGE", "--config is missing.", { next: "Run `slipway agent --help`." });
	}
}

/** Runs until it is told to end. The journal gets one line for each stage, with what is wrong in it. */
async function serve(file: string): Promise<void> {
	const agent = await startAgent(await readConfig(file));
	const log = pino({ base: null }, pino.destination({ dest: 1, sync: true }));
	let logged = "";
	const tell = () => {
		const { stage, urls, conditions } = agent.state.status;
		if (stage === logged) return;
		logged = stage;
		const faults = conditions.filter((c) => !c.ok).map(({ code, cause, next }) => ({ code, cause, next }));
		if (faults.length === 0) log.info({ urls }, stage);
		else log.error({ faults }, stage);
	};
	agent.state.subscribe(tell);
	tell();
	for (const signal of ["SIGTERM", "SIGINT"] as const) {
		process.once(signal, () => void agent.stop().finally(() => process.exit(0)));
	}
}

function parse(argv: readonly string[]) {
	try {
		return parseArgs({
			args: [...argv],
			options: {
				config: { type: "string" },
				probe: { type: "string" },
				debug: { type: "boolean" },
				help: { type: "boolean", short: "h" },
			},
		}).values;
	} catch (error) {
		throw new SlipwayError("E_USAGE", (error as Error).message, { next: "Run `slipway agent --help`." });
	}
}

/** Prints every error as `file:line:col: CODE: cause` and what to do next; gives the exit code. */
function report(error: unknown, debug: boolean): number {
	const errors = slipwayErrors(error);
	for (const e of errors) {
		const place = e.at === undefined ? "" : `${e.at.file}:${e.at.line}:${e.at.col}: `;
		process.stderr.write(`${place}${e.code}: ${e.message}\n  Next: ${e.next}\n`);
		if (debug) process.stderr.write(`${(e.cause as Error | undefined)?.stack ?? e.stack}\n`);
	}
	return error instanceof SlipwayErrors ? error.exitCode : (errors[0]?.exitCode ?? 5);
}

const argv = process.argv.slice(2);
main(argv).catch((error: unknown) => {
	process.exit(report(error, argv.includes("--debug")));
});
