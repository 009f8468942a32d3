import { join } from "node:path";
import { errorTable, SlipwayError } from "../../bundle/errors.ts";
import { openIfThere, readExactly } from "../../bundle/read.ts";
import { printable } from "../status/printable.ts";
import { type State, slipwayErrors } from "../status/state.ts";

const MAX_SIZE = 64 * 1024;
const LOOK_MS = 5_000;

/**
 * What the machine refused, a data disk (`<boot>/failure`) or, up to now, a medium or stick (`<boot>/medium`): code, cause and
 * next step, one line each, for every refusal. None without these files; one that cannot be read is itself the fault.
 */
export async function bootFaults(boot: string): Promise<SlipwayError[]> {
	return [...(await faultsIn(join(boot, "failure"))), ...(await faultsIn(join(boot, "medium")))];
}

/**
 * Looks every `everyMs` whether something else is refused than the condition `boot` tells, a stick that was put in say, and tells
 * it. The returned function ends it.
 */
export function watchBoot(boot: string, state: State, everyMs = LOOK_MS): () => void {
	const look = async () => {
		const faults = await bootFaults(boot);
		const now = faults.map((fault) => `${fault.code} ${printable(fault.message)}`);
		const told = state.status.conditions.filter((c) => /^boot(-\d+)?$/.test(c.name));
		// The preflight is the first to tell.
		if (told.length === 0 || now.join() === told.flatMap((c) => (c.ok ? [] : `${c.code} ${c.cause}`)).join()) return;
		state.condition("boot", ...faults);
	};
	const timer = setInterval(() => void look(), everyMs);
	timer.unref();
	return () => clearInterval(timer);
}

async function faultsIn(path: string): Promise<SlipwayError[]> {
	try {
		const file = await openIfThere(path);
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
