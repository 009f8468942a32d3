import { execFile } from "node:child_process";
import { SlipwayError } from "../../bundle/errors.ts";

/**
 * Runs the system's openssl program: argv array, no shell, bounded time. It gets the provider settings of this process, so
 * that on a FIPS box it works under the same provider. Errors: E_TOOL_MISSING, E_TOOL_FAILED.
 */
export function openssl(args: readonly string[], cwd: string): Promise<string> {
	const env: Record<string, string> = { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };
	for (const name of ["OPENSSL_CONF", "OPENSSL_MODULES"]) {
		const value = process.env[name];
		if (value !== undefined) env[name] = value;
	}
	return new Promise((resolve, reject) => {
		execFile("openssl", args, { cwd, env, timeout: 60_000 }, (error, stdout, stderr) => {
			if (error === null) resolve(stdout);
			else if (error.code === "ENOENT")
				reject(new SlipwayError("E_TOOL_MISSING", "The program openssl is not installed."));
			else
				reject(
					new SlipwayError(
						"E_TOOL_FAILED",
						`openssl ${args[0]} failed: ${stderr.trim().split("\n").slice(-5).join(" ")}`,
					),
				);
		});
	});
}
