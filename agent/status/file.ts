import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { State } from "./state.ts";

const QUIET_MS = 200;

/**
 * Keeps `<run>/status.json` equal to the state: a reader sees one whole document or the one before it, never half of one.
 * Changes that come close together are written once. The returned function writes what is outstanding, and is the last to write.
 */
export async function writeStatusFile(state: State, run: string): Promise<() => Promise<void>> {
	await mkdir(run, { recursive: true });
	const file = join(run, "status.json");
	let timer: NodeJS.Timeout | undefined;
	let last = Promise.resolve();
	let ended = false;
	const write = async () => {
		clearTimeout(timer);
		timer = undefined;
		await writeFile(`${file}.new`, `${JSON.stringify(state.status, null, "\t")}\n`, { mode: 0o644 });
		await rename(`${file}.new`, file);
	};
	const flush = () => {
		last = last.catch(() => undefined).then(write);
		return last;
	};
	state.subscribe(() => {
		// A full or vanished run folder must not stop the appliance: the other views still tell.
		if (!ended) timer ??= setTimeout(() => flush().catch(() => undefined), QUIET_MS);
	});
	await flush();
	return () => {
		ended = true;
		return flush();
	};
}
