import { join } from "node:path";

/** Script for mmdebstrap that installs what needs a token of Ubuntu Pro. */
export const proHook = join(import.meta.dirname, "pro-hook.sh");

/** What it takes: the token goes to it as a file's name, and nowhere else. Pure. */
export function proHookEnv(
	{ service, contracts, packages }: { service: string; contracts: string; packages: readonly string[] },
	tokenFile: string,
): Record<string, string> {
	return {
		SLIPWAY_PRO_TOKEN_FILE: tokenFile,
		SLIPWAY_PRO_SERVICE: service,
		SLIPWAY_PRO_CONTRACTS: contracts,
		SLIPWAY_PRO_PACKAGES: packages.join(" "),
	};
}
