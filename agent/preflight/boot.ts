import { join } from "node:path";
import { errorTable, SlipwayError } from "../../bundle/errors.ts";
import { openIfThere, readExactly } from "../../bundle/read.ts";
import { slipwayErrors } from "../status/state.ts";

const MAX_SIZE = 64 * 1024;

/**
 * What was refused while the machine booted, a medium or a data disk say, as `<run>/failure` has it: code, cause and next
 * step, one line each, for every refusal. None without that file; one that cannot be read is itself the fault.
 */
export async function bootFaults(run: string): Promise<SlipwayError[]> {
	try {
		const file = await openIfThere(join(run, "failure"));
		if (file === undefined) return [];
		try {
			return parse((await readExactly(file.fd, 0, Math.min(file.size, MAX_SIZE))).toString());
		} finally {
			await file.close();
		}
	} catch (error) {
		return slipwayErrors(error);
	}
}

function parse(text: string): SlipwayError[] {
	const lines = text.split("\n");
	const faults: SlipwayError[] = [];
	for (let i = 0; i + 1 < lines.length; i += 3) {
		const [word, cause = "", next = ""] = lines.slice(i, i + 3);
		const code = errorTable().find((row) => row.code === word)?.code ?? "E_INTERNAL";
		faults.push(new SlipwayError(code, cause, next === "" ? {} : { next }));
	}
	return faults;
}
