import { readFile } from "node:fs/promises";
import path from "node:path";
import { type Document, isAlias, isMap, isNode, isSeq, LineCounter, type Node, parseAllDocuments } from "yaml";
import type { z } from "zod";
import { type ErrorCode, type Place, SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { explainIssues } from "./issues.ts";

/** A path of keys and list positions from the top of a document. */
export type KeyPath = readonly PropertyKey[];

export interface Yaml<T> {
	/** Absolute path. */
	readonly file: string;
	/** Undefined when there are errors. */
	readonly value: T | undefined;
	/** What stands in the file, checked or not. */
	readonly plain: unknown;
	/** Everything that is wrong with the file, each with its place. */
	readonly errors: readonly SlipwayError[];
	/** Place of a value, or of the nearest thing around it that the file has. `onKey`: of the key instead. */
	place(at: KeyPath, onKey?: boolean): Place;
}

/**
 * Reads a YAML file against a schema and reports every error at once. Never throws for what stands in the file; a file
 * that cannot be read is reported with code `missing`.
 * Errors: E_YAML_SYNTAX, E_PROFILE_KEY (with the nearest valid key), E_PROFILE_VALUE.
 */
export async function readYaml<S extends z.ZodType>(
	file: string,
	schema: S,
	missing: ErrorCode,
): Promise<Yaml<z.output<S>>> {
	const shown = displayPath(file);
	const start: Place = { file: shown, line: 1, col: 1 };
	const fail = (errors: SlipwayError[], place: Yaml<never>["place"] = () => start, plain: unknown = undefined) => ({
		file,
		value: undefined,
		plain,
		errors,
		place,
	});
	let text: string;
	try {
		text = await readFile(file, "utf8");
	} catch (cause) {
		return fail([
			new SlipwayError(missing, `${shown} cannot be read (${(cause as NodeJS.ErrnoException).code}).`, { cause }),
		]);
	}
	const lines = new LineCounter();
	const documents = parseAllDocuments(text, {
		lineCounter: lines,
		prettyErrors: false,
		uniqueKeys: true,
		strict: true,
	});
	const at = (offset: number): Place => ({ file: shown, ...lines.linePos(offset) });
	const [document, second] = Array.isArray(documents) ? documents : [];
	if (document === undefined) return fail([new SlipwayError("E_YAML_SYNTAX", `${shown} is empty.`, { at: start })]);
	const syntax = [...document.errors, ...document.warnings].map(
		(e) => new SlipwayError("E_YAML_SYNTAX", oneLine(e.message), { at: at(e.pos[0]) }),
	);
	if (second !== undefined) {
		const where = at(second.range?.[0] ?? 0);
		syntax.push(new SlipwayError("E_YAML_SYNTAX", "The file holds more than one YAML document.", { at: where }));
	}
	if (syntax.length > 0) return fail(syntax);

	const place = (keys: KeyPath, onKey = false) => at(offsetOf(document, keys, onKey));
	let plain: unknown;
	try {
		plain = document.toJS({ maxAliasCount: 100 });
	} catch (cause) {
		return fail([new SlipwayError("E_YAML_SYNTAX", (cause as Error).message, { at: start, cause })]);
	}
	const parsed = schema.safeParse(plain);
	if (parsed.success) return { file, value: parsed.data, plain, errors: [], place };
	const errors = explainIssues(schema, parsed.error.issues, plain).map(
		(issue) => new SlipwayError(issue.code, issue.message, { at: place(issue.path, issue.onKey) }),
	);
	return fail(errors.sort(byPlace), place, plain);
}

/** As `readYaml`, for callers that need the value: throws all errors together. */
export async function loadYaml<S extends z.ZodType>(
	file: string,
	schema: S,
	missing: ErrorCode,
): Promise<Yaml<z.output<S>> & { readonly value: z.output<S> }> {
	const yaml = await readYaml(file, schema, missing);
	throwAll(yaml.errors);
	return { ...yaml, value: yaml.value as z.output<S> };
}

/** Throws the only error as it is, several as one SlipwayErrors; returns when there is none. */
export function throwAll(errors: readonly SlipwayError[]): void {
	if (errors.length === 1) throw errors[0];
	if (errors.length > 1) throw new SlipwayErrors([...errors], `${errors.length} errors`);
}

/** The path as a person would type it from where they stand. */
export function displayPath(file: string): string {
	const relative = path.relative(process.cwd(), file);
	return relative.startsWith("../../..") ? file : relative;
}

function byPlace(a: SlipwayError, b: SlipwayError): number {
	return (a.at?.line ?? 0) - (b.at?.line ?? 0) || (a.at?.col ?? 0) - (b.at?.col ?? 0);
}

/** Offset of the node at `keys`, going as deep as the document has nodes. */
function offsetOf(document: Document.Parsed, keys: KeyPath, onKey: boolean): number {
	let node: Node | null = document.contents;
	let offset = node?.range?.[0] ?? 0;
	for (const [depth, key] of keys.entries()) {
		if (isAlias(node)) node = node.resolve(document) ?? null;
		const last = depth === keys.length - 1;
		let next: unknown;
		if (isMap(node)) {
			const pair = node.items.find((item) => String(isNode(item.key) ? item.key.toJSON() : item.key) === String(key));
			if (pair === undefined) break;
			const named = isNode(pair.key) ? pair.key : undefined;
			next = (last && onKey) || pair.value === null ? named : pair.value;
		} else if (isSeq(node)) next = node.items[Number(key)];
		if (!isNode(next)) break;
		node = next;
		offset = next.range?.[0] ?? offset;
	}
	return offset;
}

function oneLine(text: string): string {
	return text.split("\n")[0] ?? text;
}
