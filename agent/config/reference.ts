import { applianceConfig } from "../../bundle/appliance.ts";

interface Node {
	readonly type?: string;
	readonly enum?: readonly unknown[];
	readonly anyOf?: readonly Node[];
	readonly items?: Node;
	readonly default?: unknown;
	readonly description?: string;
	readonly properties?: Readonly<Record<string, Node>>;
	readonly required?: readonly string[];
}

/** The table of every configuration key in docs/agent.md, from the one declaration of the configuration. */
export function configTable(): string {
	const schema = applianceConfig.toJSONSchema({ io: "input" }) as Node;
	const rows = rowsOf(schema, "");
	return ["| Key | Type | Default | Meaning |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

function rowsOf(node: Node, prefix: string): string[] {
	return Object.entries(node.properties ?? {}).flatMap(([key, value]) => {
		const name = `${prefix}${key}`;
		const object = value.properties ? value : value.anyOf?.find((n) => n.properties);
		const needed = node.required?.includes(key) === true;
		// Nested keys have rows of their own; of the machine that makes the table only the kind of it matters.
		const shown = key === "arch" ? "the machine's" : needed ? "(required)" : object ? "" : code(value.default);
		const row = `| \`${name}\` | ${typeOf(value)} | ${shown} | ${value.description ?? ""} |`;
		return [row, ...(object ? rowsOf(object, `${name}.`) : [])];
	});
}

function typeOf(node: Node): string {
	if (node.enum) return node.enum.map((value) => `\`${value}\``).join(" or ");
	if (node.anyOf) return node.anyOf.map(typeOf).join(" or ");
	if (node.type === "array") return `list of ${typeOf(node.items ?? {})}s`;
	return node.type ?? "any";
}

function code(value: unknown): string {
	return value === undefined ? "" : `\`${JSON.stringify(value)}\``;
}
