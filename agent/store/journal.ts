import { appendFile, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Evidence } from "./evidence.ts";

/** `journal`: blobs that are durable but in no catalog yet. Losing its tail only costs time, so it is not synced. */
export async function appendJournal(folder: string, blobs: ReadonlyMap<string, Evidence>): Promise<void> {
	const lines = [...blobs].map(([digest, seen]) => `${digest} ${seen.join(" ")}\n`);
	await appendFile(join(folder, "journal"), lines.join(""), { mode: 0o600 });
}

export async function readJournal(folder: string): Promise<[string, Evidence][]> {
	const text = await readFile(join(folder, "journal"), "utf8").catch(() => "");
	return text.split("\n").flatMap((line): [string, Evidence][] => {
		const found = /^(sha\d+:[0-9a-f]+) (\d+) (\d+) (\d+)$/.exec(line);
		return found ? [[found[1]!, [Number(found[2]), found[3]!, found[4]!]]] : []; // a torn last line is no evidence
	});
}

export async function removeJournal(folder: string): Promise<void> {
	await rm(join(folder, "journal"), { force: true });
}
