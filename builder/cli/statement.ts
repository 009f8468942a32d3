import { type Command, Option } from "commander";
import { action } from "./command.ts";

const collect = (value: string, list: string[] = []) => [...list, value];

/** Adds `sign` and `statement make|list`. */
export function registerStatement(program: Command): void {
	const sign = withPassphrase(
		program
			.command("sign")
			.description("Add a signature to releases and statements (in place) and bundles (in the .sigs.json beside them)")
			.argument("<files...>", "release.dsse.json, N.dsse.json or .zst files")
			.requiredOption("--key <file>", "private key to sign with")
			.option("--json", "print the result as JSON"),
	);
	action(sign, async () => (await import("./sign.ts")).sign);

	const statement = program.command("statement").description("Make and list signed statements of the root keys");
	const make = statement.command("make").description("Make the next statement of a chain (docs/trust.md)");
	const kind = (name: string, text: string) =>
		withPassphrase(make.command(name).description(text))
			.requiredOption("--key <file>", "root key to sign with; give it again for each further one", collect)
			.option("--out <folder>", "folder of the chain", "statements")
			.option("--reason <text>", "why, for people")
			.option("--json", "print the result as JSON");

	const rotate = kind("rotate", "Replace the keys of a role; new root keys must sign too")
		.option("--release-key <file>", "public key in PEM of the release role; give it again for each", collect)
		.option("--release-threshold <n>", "how many of them must sign", "1")
		.option("--root-key <file>", "public key in PEM of the root role; give it again for each", collect)
		.option("--root-threshold <n>", "how many of them must sign", "1");
	action(rotate, async () => (await import("./statement-make.ts")).makeRotate);

	const deny = kind("deny", "Deny keys, bundles and releases for good")
		.option("--deny-key <key>", "key id, or public key in PEM; give it again for each", collect)
		.option("--bundle <bundle>", "index digest, or .zst file; give it again for each", collect)
		.option("--release <release>", "digest, or release.dsse.json; give it again for each", collect);
	action(deny, async () => (await import("./statement-make.ts")).makeDeny);

	const reset = kind("floor-reset", "Lower floors, so that older sequences are taken again")
		.option("--product <name=sequence>", "floor of a product's releases; give it again for each", collect)
		.option("--bundle <name/arch/fips=sequence>", "floor of a bundle, as in core/amd64/true=7", collect);
	action(reset, async () => (await import("./statement-make.ts")).makeFloorReset);

	const rollback = kind("rollback", "Let one older release take the place of another")
		.requiredOption("--from <release>", "digest, or release.dsse.json, of what is there")
		.requiredOption("--to <release>", "release.dsse.json of what may take its place");
	action(rollback, async () => (await import("./statement-make.ts")).makeRollback);

	const list = statement
		.command("list")
		.description("Verify a chain and show it")
		.argument("<folder>", "folder of the chain")
		.requiredOption("--trust <folder>", "trust store whose root keys the chain begins with")
		.option("--json", "print the result as JSON");
	action(list, async () => (await import("./statement-list.ts")).statementList);
}

function withPassphrase(command: Command): Command {
	return command.addOption(
		new Option("--passphrase-file <file>", "file with the passphrase of encrypted keys").env(
			"SIGNING_KEY_PASSPHRASE_FILE",
		),
	);
}
