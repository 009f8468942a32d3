import type { Command } from "commander";

/** Reference of all commands, as their own help says it, at a fixed width. */
export function commandReference(program: Command): string {
	const sections = [program, ...descendants(program)].map((command) => {
		command.configureHelp({ helpWidth: 110 });
		return `## ${path(command)}\n\n\`\`\`\n${command.helpInformation().trimEnd()}\n\`\`\``;
	});
	return sections.join("\n\n");
}

function descendants(command: Command): Command[] {
	return command.commands.flatMap((child) => [child, ...descendants(child)]);
}

function path(command: Command): string {
	return command.parent === null ? command.name() : `${path(command.parent)} ${command.name()}`;
}
