import type { Command } from "commander";

/** Adds `bundle build|inspect|verify`. */
export function registerBundle(program: Command): void {
	program.command("bundle").description("Build, inspect and verify content bundles");
}
