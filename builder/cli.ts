import { CommanderError } from "commander";
import { SlipwayError } from "../bundle/errors.ts";
import { makeProgram } from "./cli/program.ts";
import { errorJson, errorsIn, errorText } from "./cli/report.ts";

// A terminal that was closed is no reason to stop before the clean-ups have run.
process.stderr.on("error", () => undefined);
// `slipway list | head` is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 5));

try {
	await (await makeProgram()).parseAsync();
} catch (thrown) {
	const done = thrown instanceof CommanderError && thrown.exitCode === 0; // --help
	if (!done) report(thrown instanceof CommanderError ? usage(thrown) : thrown);
}

function report(thrown: unknown): void {
	const errors = errorsIn(thrown);
	if (process.argv.includes("--json")) process.stdout.write(errorJson(errors));
	else process.stderr.write(errorText(errors, process.argv.includes("--debug")));
	// Nothing that is still open may keep the process from ending.
	process.exit(errors[0]?.exitCode ?? 5);
}

function usage(error: CommanderError): SlipwayError {
	const reason = error.message.replace(/^error: /, "").replaceAll("\n", " ");
	return new SlipwayError("E_USAGE", reason === "(outputHelp)" ? "There is no command here." : `${reason}.`);
}
