import { SlipwayError } from "../../bundle/errors.ts";

/**
 * SOURCE_DATE_EPOCH in seconds: the variable's value, else the time of the last commit.
 * Errors: E_USAGE when the variable is not a number of seconds, or there is neither it nor a commit.
 */
export async function sourceEpoch(root: string, env: NodeJS.ProcessEnv): Promise<number> {
	const given = env.SOURCE_DATE_EPOCH ?? "";
	if (given !== "") {
		if (/^\d{1,10}$/.test(given)) return Number(given);
		throw new SlipwayError("E_USAGE", `SOURCE_DATE_EPOCH is ${given}; it must be a number of seconds.`);
	}
	const { run } = await import("../tools/run.ts");
	// The folder may belong to another user, who called sudo; git would refuse to look.
	const args = ["-c", `safe.directory=${root}`, "-C", root, "log", "-1", "--format=%ct"];
	try {
		return Number.parseInt((await run("git", args)).stdout, 10);
	} catch (cause) {
		throw new SlipwayError("E_USAGE", "This is not a clone with a commit, so the build has no date.", {
			next: "Set SOURCE_DATE_EPOCH= to the release's time in seconds.",
			cause,
		});
	}
}
