import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { SlipwayError } from "./errors.ts";
import { readSmall } from "./read.ts";
import {
	type KnownStatement,
	MAX_CHAIN,
	MAX_STATEMENT,
	MAX_STATEMENTS,
	newStatements,
	parseStatement,
	type UnverifiedStatement,
} from "./statements.ts";

/** Name of the file that holds a statement. Only its end matters to a reader. */
export function statementFile(number: number): string {
	return `${number}.dsse.json`;
}

/**
 * Parses every `*.dsse.json` of a folder, in no order; none when there is no such folder. At most 8 MiB are read.
 * Errors: E_LIMIT (too many entries, a large file, too much in all), E_IO, those of parseStatement; each names the file.
 */
export async function readStatementFolder(folder: string): Promise<UnverifiedStatement[]> {
	const found: UnverifiedStatement[] = [];
	for await (const { item } of parsed(folder)) found.push(item);
	return found;
}

/**
 * The statements of a folder that a stranger may have made which go beyond `known`, in order. All of the folder is looked at
 * before the first is given, but one statement is held at a time: nobody has verified them yet.
 * Errors: E_SOURCE_CHANGED, those of readStatementFolder and newStatements.
 */
export async function* followingStatements(
	folder: string,
	known: readonly KnownStatement[],
): AsyncGenerator<UnverifiedStatement> {
	const places = [];
	for await (const { path, item } of parsed(folder)) {
		places.push({ path, digest: item.digest, statement: { number: item.statement.number } });
	}
	for (const { path, digest } of newStatements({ statements: known }, places)) {
		const item = await parseFile(path);
		if (item?.digest !== digest) {
			throw new SlipwayError("E_SOURCE_CHANGED", `${path} changed while it was being read.`);
		}
		yield item;
	}
}

async function* parsed(folder: string): AsyncGenerator<{ path: string; item: UnverifiedStatement }> {
	let total = 0;
	for (const name of await names(folder)) {
		const path = join(folder, name);
		const item = await parseFile(path);
		if (item === undefined) continue; // gone since it was listed; the chain's numbers show it
		total += item.bytes.length;
		if (total > MAX_CHAIN) {
			throw new SlipwayError("E_LIMIT", `${folder} holds more than ${MAX_CHAIN / 2 ** 20} MiB of statements.`);
		}
		yield { path, item };
	}
}

async function parseFile(path: string): Promise<UnverifiedStatement | undefined> {
	const bytes = await readSmall(path, MAX_STATEMENT);
	if (bytes === undefined) return undefined;
	try {
		return parseStatement(bytes);
	} catch (error) {
		if (!(error instanceof SlipwayError)) throw error;
		throw new SlipwayError(error.code, `${path}: ${error.message}`, { next: error.next, cause: error });
	}
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
