import { SlipwayError } from "../../bundle/errors.ts";

/**
 * An archive's address stands in logs and records, a proxy's on command lines. `what` is told in place of it.
 * Errors: E_USAGE for one with a user name or password in it.
 */
export function refuseUserInfo(address: string, what: string): void {
	if (!/(?:^|\/\/)[^\s/]*@/.test(address)) return;
	throw new SlipwayError("E_USAGE", `${what} holds a user name or password, which logs and records would show.`, {
		next: "Use an address without them; a server that wants them can be reached through a local proxy that adds them.",
	});
}
