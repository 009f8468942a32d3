import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import type { State, Status } from "../status/state.ts";
import { consoleLines } from "./lines.ts";

const QUIET_MS = 500;
/** Home and clear; only for the machine's own screen, so that a serial log stays plain text. */
const CLEAR = "\x1b[H\x1b[2J";

/**
 * Shows the state on each terminal: on the screen the present lines, on a serial port the lines that are new, so that its
 * log reads as a history. Written on a change, and progress in steps of ten percent. A terminal that cannot be opened or
 * written is left alone: the other views still tell. The returned function writes what is outstanding.
 */
export async function showOnConsoles(state: State, paths: readonly string[]): Promise<() => Promise<void>> {
	const terminals = await Promise.all(paths.map(openTerminal));
	let shown: readonly string[] = [];
	let timer: NodeJS.Timeout | undefined;
	let last = Promise.resolve();
	const draw = async () => {
		clearTimeout(timer);
		timer = undefined;
		const lines = [...consoleLines(state.status), ...progressLine(state.status)];
		if (lines.join("\n") === shown.join("\n")) return;
		const fresh = lines.filter((line) => !shown.includes(line));
		shown = lines;
		for (const terminal of terminals) {
			const text = terminal?.screen ? CLEAR + terminalText(lines) : terminalText(fresh);
			await terminal?.handle.write(text).catch(() => undefined);
		}
	};
	const flush = () => {
		last = last.then(draw);
		return last;
	};
	state.subscribe(() => {
		timer ??= setTimeout(flush, QUIET_MS);
	});
	await flush();
	return flush;
}

function progressLine(status: Status): string[] {
	const { bytesDone, bytesTotal, blobsTotal } = status.progress;
	if (bytesTotal === 0 || status.stage !== "verifying") return [];
	const tenth = Math.floor((10 * bytesDone) / bytesTotal) * 10;
	return [`Verifying and loading: ${tenth} % of ${Math.ceil(bytesTotal / 2 ** 20)} MiB, ${blobsTotal} blobs`];
}

function terminalText(lines: readonly string[]): string {
	return lines.map((line) => `${line}\r\n`).join("");
}

async function openTerminal(path: string): Promise<{ handle: FileHandle; screen: boolean } | undefined> {
	try {
		// Not our controlling terminal, and no waiting for a serial line that has no carrier.
		const handle = await open(path, constants.O_WRONLY | constants.O_NOCTTY | constants.O_NONBLOCK);
		return { handle, screen: /^tty\d+$/.test(basename(path)) };
	} catch {
		return undefined;
	}
}
