import { SlipwayError } from "../../bundle/errors.ts";
import type { Run } from "../tools/run.ts";

/** Programs of the build host whose version shows in the bytes they write, and how each is asked for it. */
const ASKED = [
	["mmdebstrap", "--version"],
	["mksquashfs", "-version"],
	["veritysetup", "--version"],
	["xorriso", "-version"],
	["mcopy", "--version"],
] as const;

/** Versions of this host's programs, by name. Errors: E_TOOL_MISSING. */
export async function toolVersions(run: Run): Promise<Record<string, string>> {
	const versions = ASKED.map(async ([program, flag]) => {
		const { stdout, stderr } = await run(program, [flag], { accept: [0, 1] });
		return [program, /\d+(\.\d+)+/.exec(stdout + stderr)?.[0] ?? "unknown"] as const;
	});
	return Object.fromEntries(await Promise.all(versions));
}

/**
 * Another version of a program writes other bytes, for which an inputs file has no signatures: told before anything is built.
 * Errors: E_INPUTS with each difference, E_TOOL_MISSING.
 */
export async function checkTools(wanted: Readonly<Record<string, string>>, run: Run): Promise<void> {
	const here = await toolVersions(run);
	const other = Object.keys(wanted).filter((program) => here[program] !== wanted[program]);
	if (other.length === 0) return;
	const list = other.map((program) => `${program} ${wanted[program]}, here it is ${here[program] ?? "not asked for"}`);
	throw new SlipwayError("E_INPUTS", `The inputs file was made with ${list.join("; ")}.`, {
		next: "Build on a host with those versions, such as the same release of the same distribution.",
	});
}
