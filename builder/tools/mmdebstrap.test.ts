import { expect, test } from "vitest";
import { SlipwayError } from "../../bundle/errors.ts";
import { type Mmdebstrap, mmdebstrap } from "./mmdebstrap.ts";
import type { Run } from "./run.ts";

/** A program that prints these lines and fails. */
const failing =
	(...lines: string[]): Run =>
	async (_, __, options) => {
		for (const line of lines) options?.onLine?.(line);
		throw new SlipwayError("E_TOOL_FAILED", "mmdebstrap failed");
	};
const asked = { suite: "trixie", arch: "arm64", variant: "essential", include: [], sources: [] } as const;
const request: Mmdebstrap = { ...asked, keyring: "/k.gpg", target: "/dev/null" };

/** As they were seen: the script's own last line has no end. */
const SCRIPT =
	"[Errno 2] No such file: '_sysconfigdata.py'dpkg: error processing package python3.13-minimal (--configure):";

test.each([
	["a script that fails", SCRIPT, /the scripts of python3\.13-minimal fail/],
	["scripts that worked on the workshop", "strayed: /etc/passwd /etc/group", /wrote to \/etc\/passwd \/etc\/group/],
])("from outside of the root, %s is told as the package's", async (_, line, message) => {
	const foreign = { ...request, mode: "chrootless" } as const;
	await expect(mmdebstrap(failing(line), foreign, 0)).rejects.toMatchObject({
		code: "E_FOREIGN_PACKAGE",
		exitCode: 3,
		message: expect.stringMatching(message),
	});
	// Inside of it the same is a failure like any other.
	await expect(mmdebstrap(failing(line), request, 0)).rejects.toMatchObject({ code: "E_TOOL_FAILED" });
});

test("from outside of the root, other failures are what they are elsewhere", async () => {
	const foreign = { ...request, mode: "chrootless" } as const;
	const unreachable = failing("E: Failed to fetch http://mirror.test/x  Could not connect");
	await expect(mmdebstrap(unreachable, foreign, 0)).rejects.toMatchObject({ code: "E_ARCHIVE_UNREACHABLE" });
	await expect(mmdebstrap(failing("E: other"), foreign, 0)).rejects.toMatchObject({ code: "E_TOOL_FAILED" });
});
