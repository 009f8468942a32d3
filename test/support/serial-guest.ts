import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { clean } from "../../builder/boot/serial.ts";
import { qemuProgram } from "../../builder/tools/qemu.ts";
import { run } from "../../builder/tools/run.ts";

/**
 * Starts an emulated amd64 machine, waits until its serial console has said all of `wanted`, and ends it. Gives what was said;
 * if the machine ends before, or takes `timeout` milliseconds, that is less.
 */
export async function serialOf(
	args: readonly string[],
	serialLog: string,
	wanted: readonly RegExp[],
	timeout: number,
): Promise<string> {
	const stop = new AbortController();
	let ended = false;
	const guest = run(qemuProgram("amd64"), args, { signal: stop.signal, timeout }).then(
		() => undefined,
		(error: { code: string }) => error,
	);
	void guest.then(() => {
		ended = true;
	});
	const said = async () => clean(await readFile(serialLog, "latin1").catch(() => ""));
	while (!ended && !(await said().then((text) => wanted.every((one) => one.test(text))))) await sleep(500);
	stop.abort();
	const error = await guest;
	if (error !== undefined && error.code !== "E_INTERRUPTED" && !/took too long/.test(String(error))) throw error;
	return said();
}
