import { type Command, Option } from "commander";
import { action } from "./command.ts";

/** Adds `bundle build|inspect|verify`. */
export function registerBundle(program: Command): void {
	const bundle = program.command("bundle").description("Build, inspect and verify content bundles");

	const build = bundle
		.command("build")
		.description("Build a bundle and its content release into dist/bundles/")
		.argument("<definition>", "name, or file such as profiles/bundles/core.yaml")
		.option("--profile <name>", "take architecture, FIPS and base from this profile")
		.addOption(new Option("--arch <arch>", "architecture; default: this host's").choices(["amd64", "arm64"]))
		.option("--fips", "build content for FIPS boxes; needs --base")
		.addOption(new Option("--base <name>", "base that images are made from; default: debian-13").env("BASE"))
		.addOption(new Option("--mirror <url>", "mirror of the base's archive").env("MIRROR"))
		.addOption(new Option("--keyring <file>", "keyring of that mirror").env("KEYRING"))
		.option("--out <folder>", "folder for the result", "dist")
		.option("--refresh", "ask the package archive again, and build every pack again")
		.option("--update-lock", "resolve tags again and rewrite the lock file")
		.option("--json", "print the result as JSON");
	action(build, async () => (await import("./bundle-build.ts")).bundleBuild);

	const inspect = bundle
		.command("inspect")
		.description("Show what a bundle holds, from its index alone")
		.argument("<file>", "the .zst file")
		.option("--key <file>", "public key, or trust store folder, to check the index's signature with")
		.option("--json", "print the index as JSON");
	action(inspect, async () => (await import("./bundle-inspect.ts")).bundleInspect);

	const verify = bundle
		.command("verify")
		.description("Verify every byte of bundles, and the content release of a folder")
		.argument("<paths...>", "files, or folders of a release")
		.option("--key <file>", "public key in PEM to trust")
		.option("--trust <folder>", "trust store folder to trust")
		.option("--json", "print the result as JSON");
	action(verify, async () => (await import("./bundle-verify.ts")).bundleVerify);
}
