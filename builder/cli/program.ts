import { Command, Option } from "commander";
import { SlipwayError } from "../../bundle/errors.ts";
import { action } from "./command.ts";

/** Which build: the same options for every command that resolves one. Variables are those of the Makefile. */
export interface BuildOptions {
	readonly base?: string;
	readonly mirror?: string;
	readonly keyring?: string;
	readonly snapshot?: string;
}

export function withBuildOptions(command: Command): Command {
	return command
		.addOption(new Option("--base <name>", "base to build on instead of the profile's").env("BASE"))
		.addOption(new Option("--mirror <url>", "mirror of the base's archive").env("MIRROR"))
		.addOption(keyringOption())
		.addOption(new Option("--snapshot <id>", "snapshot of the archive, such as 20240301T030400Z").env("SNAPSHOT"));
}

function keyringOption(): Option {
	return new Option("--keyring <file>", "keyring that the archive is checked with").env("KEYRING");
}

function json(command: Command): Command {
	return command.option("--json", "print the result as JSON");
}

/** The command line, without anything that runs it: also the source of docs/cli.md. */
export async function makeProgram(): Promise<Command> {
	const program = new Command("slipway")
		.description("Builds bootable, air-gapped management appliances with signed content bundles.")
		.option("--debug", "show stack traces of errors")
		.helpCommand(false)
		.showSuggestionAfterError()
		// cli.ts prints errors, with their codes.
		.configureOutput({ outputError: () => undefined })
		.exitOverride();
	const command = (name: string, text: string) => program.command(name).description(text);

	const validate = json(command("validate", "Check profiles: all errors at once, each with its place"))
		.argument("[profiles...]", "names or files; default: all")
		.addOption(new Option("--base <name>", "base to check against instead of the profile's").env("BASE"))
		.addOption(keyringOption())
		.option("--for-build", "check too that what a build needs from the user is there, such as a token or a keyring");
	action(validate, async () => (await import("./validate.ts")).validate);

	const plan = withBuildOptions(json(command("plan", "Show what a build would run, and why")))
		.argument("<profile>", "name or file of the profile")
		.option("--inputs <file>", "plan the build that this X.inputs.json describes");
	action(plan, async () => (await import("./plan.ts")).plan);

	const build = withBuildOptions(json(command("build", "Build a profile's ISO and release set into dist/")))
		.argument("<profile>", "name or file of the profile")
		.option(
			"--refresh",
			"ask the package archive again for its newest packages; tags of registries stay as their lock file says",
		)
		.option("--inputs <file>", "build the bytes that this X.inputs.json describes again, without a private key")
		.option("--trace", "write where the time went as trace.json beside the logs, in the Chrome trace format");
	action(build, async () => (await import("./build.ts")).build);

	const lock = withBuildOptions(
		json(command("lock", "Lock a profile to the packages that its archive has now (PROFILE.lock.yaml)")),
	)
		.argument("<profile>", "name or file of the profile")
		.option("--diff", "only show what would change; exit code 1 if something would");
	action(lock, async () => (await import("./lock.ts")).lock);

	const mirror = withBuildOptions(
		json(command("mirror", "Fetch what a profile's lock names into a folder that builds need no network for")),
	)
		.argument("<profile>", "name or file of the profile")
		.argument("<folder>", "folder to make");
	action(mirror, async () => (await import("./mirror.ts")).mirror);

	const list = json(command("list", "List profiles, bases and bundles"));
	action(list, async () => (await import("./list.ts")).list);

	const describe = json(command("describe", "Show a profile with everything it extends filled in"))
		.argument("<profile>", "name or file of the profile")
		.addOption(new Option("--base <name>", "base to show it on instead of the profile's").env("BASE"));
	action(describe, async () => (await import("./describe.ts")).describe);

	const clean = command(
		"clean",
		"Remove stage outputs that no profile's last build uses, and what killed builds left",
	).option("--all", "remove the whole cache and dist/ (never the keys)");
	action(clean, async () => (await import("./clean.ts")).clean);

	const errors = json(command("errors", "List every error code with its meaning and what to do"));
	action(errors, async () => (await import("./errors.ts")).errors);

	const { registerBundle } = await import("./bundle.ts");
	registerBundle(program);
	const { registerStatement } = await import("./statement.ts");
	registerStatement(program);
	const { registerBoot } = await import("./boot.ts");
	registerBoot(program);
	const { registerFlash } = await import("./flash.ts");
	registerFlash(program);
	const { registerSize } = await import("./size.ts");
	registerSize(program);

	// The launcher starts the agent itself: the two sides share no code but bundle/.
	const agent = command(
		"agent",
		"Verify and serve bundles on this host (see `./slipway agent --help`)",
	).allowUnknownOption();
	action(
		agent,
		async () => () => Promise.reject(new SlipwayError("E_USAGE", "The agent is started by ./slipway agent.")),
	);
	return program;
}
