import { expect, test } from "vitest";
import { run } from "../tools/run.ts";
import { checkTools, toolVersions } from "./tools.ts";

test("this host's programs tell their versions, and another version is named before anything is built", async () => {
	const here = await toolVersions(run);
	for (const version of Object.values(here)) expect(version).toMatch(/^\d+(\.\d+)+$/);
	expect(Object.keys(here)).toContain("xorriso");
	await checkTools(here, run);
	await expect(checkTools({ ...here, xorriso: "0.0.1" }, run)).rejects.toMatchObject({
		code: "E_INPUTS",
		message: `The inputs file was made with xorriso 0.0.1, here it is ${here.xorriso}.`,
	});
});
