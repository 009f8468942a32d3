import { z } from "zod";

interface Schema {
	readonly type?: string;
	readonly description?: string;
	readonly properties?: Record<string, Schema>;
	readonly required?: string[];
	readonly items?: Schema;
	readonly additionalProperties?: Schema | boolean;
	readonly anyOf?: Schema[];
	readonly oneOf?: Schema[];
	readonly enum?: unknown[];
	readonly const?: unknown;
	readonly default?: unknown;
	readonly merge?: string;
}

/** JSON Schema of what a person writes, for editors. */
export function jsonSchema(schema: z.ZodType, title: string): string {
	const { $schema, ...rest } = z.toJSONSchema(schema, { io: "input" });
	return `${JSON.stringify({ $schema, title, ...rest }, null, "\t")}\n`;
}

/** A table of all keys of a schema, nested ones by their path. */
export function keyTable(schema: z.ZodType): string {
	const rows = keys(z.toJSONSchema(schema, { io: "input" }) as Schema, "");
	return [
		"| Key | Value | Meaning |",
		"|---|---|---|",
		...rows.map((cells) => `| ${cells.map(cell).join(" | ")} |`),
	].join("\n");
}

function keys(schema: Schema, prefix: string): [string, string, string][] {
	return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
		const name = `${prefix}${key}`;
		const needed = schema.required?.includes(key) ? "**required** " : "";
		const row: [string, string, string] = [`\`${name}\``, needed + typeOf(value), meaningOf(value)];
		return [row, ...inner(value, name)];
	});
}

/** Rows of what a value holds: an object's keys, a list's or a map's entries, each form of a choice. */
function inner(schema: Schema, name: string): [string, string, string][] {
	if (schema.properties !== undefined) return keys(schema, `${name}.`);
	if (schema.items !== undefined) return inner(schema.items, `${name}[]`);
	if (typeof schema.additionalProperties === "object") return inner(schema.additionalProperties, `${name}.*`);
	return choices(schema).flatMap((choice) => {
		const source = choice.properties?.source?.const;
		return inner(choice, source === undefined ? name : `${name} (${String(source)})`);
	});
}

function typeOf(schema: Schema): string {
	if (schema.const !== undefined) return code(schema.const);
	if (schema.enum !== undefined) return schema.enum.map(code).join(" or ");
	const options = choices(schema);
	if (options.length > 0) return [...new Set(options.map(typeOf))].join(" or ");
	if (schema.items !== undefined) return `list of ${typeOf(schema.items)}`;
	if (schema.type === "object" && schema.properties === undefined) return "map";
	return schema.type ?? "anything";
}

function meaningOf(schema: Schema): string {
	const merge = schema.merge === "append" ? "Joined with the list of what is extended." : "";
	const standard =
		schema.default === undefined || typeof schema.default === "object" ? "" : `Default: ${code(schema.default)}.`;
	return [schema.description === undefined ? "" : `${schema.description}.`, merge, standard].filter(Boolean).join(" ");
}

function choices(schema: Schema): Schema[] {
	return schema.anyOf ?? schema.oneOf ?? [];
}

function code(value: unknown): string {
	return `\`${String(value)}\``;
}

/** A bar inside a cell would end it. */
function cell(text: string): string {
	return text.replaceAll("|", "\\|");
}
