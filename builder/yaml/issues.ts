import { z } from "zod";
import { nearest } from "./nearest.ts";

type Issue = z.core.$ZodIssue;

export interface Explained {
	readonly code: "E_PROFILE_KEY" | "E_PROFILE_VALUE";
	readonly message: string;
	readonly path: readonly PropertyKey[];
	/** The error is about the key, not about its value. */
	readonly onKey: boolean;
}

/** Turns zod's issues into sentences: one per unknown key with the nearest valid one, one per wrong or missing value. */
export function explainIssues(schema: z.ZodType, issues: readonly Issue[], input: unknown): Explained[] {
	return issues.flatMap((issue) => explain(schema, issue, input));
}

function explain(schema: z.ZodType, issue: Issue, input: unknown): Explained[] {
	const { path } = issue;
	if (issue.code === "unrecognized_keys") {
		const valid = keysAt(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }), path);
		return issue.keys.map((key) => {
			const guess = nearest(key, valid);
			const hint = guess === undefined ? `Valid here: ${valid.join(", ")}.` : `Did you mean \`${guess}\`?`;
			return { code: "E_PROFILE_KEY", message: `Unknown key \`${key}\`. ${hint}`, path: [...path, key], onKey: true };
		});
	}
	if (issue.code === "invalid_union" && issue.errors.length > 0) {
		const branch = closest(issue.errors);
		if (branch !== undefined)
			return branch.flatMap((inner) => explain(schema, { ...inner, path: [...path, ...inner.path] } as Issue, input));
	}
	const subject = path.length === 0 ? "The file" : `\`${path.map(String).join(".")}\``;
	const value = valueAt(input, path);
	if (value === undefined) return [{ code: "E_PROFILE_VALUE", message: `${subject} is missing.`, path, onKey: false }];
	return [
		{ code: "E_PROFILE_VALUE", message: `${subject}: ${wanted(issue)}, not ${brief(value)}.`, path, onKey: false },
	];
}

/** What should stand there, without what does: the caller adds that. */
function wanted(issue: Issue): string {
	if (issue.code === "invalid_type") return `expected ${issue.expected}`;
	if (issue.code === "invalid_union" && issue.errors.length > 0) {
		return [...new Set(issue.errors.flatMap((branch) => branch.slice(0, 1).map(wanted)))].join(" or ");
	}
	return issue.message.replace(/^Invalid (input|option): /, "");
}

/** Of a union's branches, the one that came furthest: what the writer most likely meant. None if all fail at the top. */
function closest(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
	return branches
		.filter((issues) => issues.every((issue) => issue.path.length > 0 || issue.code === "unrecognized_keys"))
		.sort((a, b) => a.length - b.length)[0];
}

interface Schema {
	readonly properties?: Record<string, Schema>;
	readonly items?: Schema | Schema[];
	readonly additionalProperties?: Schema | boolean;
	readonly anyOf?: Schema[];
	readonly oneOf?: Schema[];
	readonly allOf?: Schema[];
	readonly $ref?: string;
	readonly $defs?: Record<string, Schema>;
}

/** Keys that a JSON Schema allows at `path`; every branch of a union counts. */
function keysAt(schema: unknown, path: readonly PropertyKey[]): string[] {
	const top = schema as Schema;
	const branches = (s: Schema): Schema[] => {
		const target = s.$ref === undefined ? s : (top.$defs?.[s.$ref.split("/").at(-1) ?? ""] ?? {});
		const inner = [...(target.anyOf ?? []), ...(target.oneOf ?? []), ...(target.allOf ?? [])];
		return [target, ...inner.flatMap(branches)];
	};
	let here = branches(top);
	for (const key of path) here = here.flatMap((s) => step(s, key)).flatMap(branches);
	return [...new Set(here.flatMap((s) => Object.keys(s.properties ?? {})))];
}

function step(schema: Schema, key: PropertyKey): Schema[] {
	const named = schema.properties?.[String(key)];
	if (named !== undefined) return [named];
	if (typeof key === "number") return [schema.items ?? []].flat();
	return typeof schema.additionalProperties === "object" ? [schema.additionalProperties] : [];
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
	return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | null | undefined)?.[key], input);
}

/** A value as it is shown in an error: short, and without the password that an address may hold. */
function brief(value: unknown): string {
	const text = (JSON.stringify(value) ?? String(value)).replace(/\/\/[^/@]*@/g, "//…@");
	return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
