import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { SlipwayError } from "./errors.ts";
import { readSmall } from "./read.ts";
import { MAX_STATEMENT, MAX_STATEMENTS, parseStatement, type UnverifiedStatement } from "./statements.ts";

/** Name of the file that holds a statement. Only its end matters to a reader. */
export function statementFile(number: number): string {
	return `${number}.dsse.json`;
}

/**
 * Parses every `*.dsse.json` of a folder that a stranger may have made, in no order; none when there is no such folder.
 * Errors: E_LIMIT (too many entries, a large file), E_IO, those of parseStatement; each names the file.
 */
export async function readStatementFolder(folder: string): Promise<UnverifiedStatement[]> {
	const found: UnverifiedStatement[] = [];
	for (const name of await names(folder)) {
		const bytes = await readSmall(join(folder, name), MAX_STATEMENT);
		if (bytes === undefined) continue; // gone since it was listed; the chain's numbers show it
		try {
			found.push(parseStatement(bytes));
		} catch (error) {
			if (!(error instanceof SlipwayError)) throw error;
			throw new SlipwayError(error.code, `${join(folder, name)}: ${error.message}`, { next: error.next, cause: error });
		}
	}
	return found;
}

async function names(folder: string): Promise<string[]> {
	const dir = await opendir(folder).catch((cause: NodeJS.ErrnoException) => {
		if (cause.code === "ENOENT") return undefined;
		throw new SlipwayError("E_IO", `${folder} cannot be read: ${cause.message}.`, { cause });
	});
	if (dir === undefined) return [];
	const list: string[] = [];
	let entries = 0;
	for await (const { name } of dir) {
		entries += 1;
		if (entries > 2 * MAX_STATEMENTS) {
			throw new SlipwayError("E_LIMIT", `${folder} holds more than ${2 * MAX_STATEMENTS} files.`);
		}
		if (name.endsWith(".dsse.json")) list.push(name);
	}
	return list.sort();
}
