import { readFile } from "node:fs/promises";
import { closest } from "fastest-levenshtein";
import type { Scalar } from "yaml";
import { type ApplianceConfig, applianceConfig } from "../../bundle/appliance.ts";
import { type Place, SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { parseStrictJson } from "../../bundle/strict-json.ts";
import type { z } from "../../bundle/zod.ts";

/**
 * Reads the agent's configuration, YAML or JSON (which is YAML). Every fault of the file is reported at once, each with
 * its line and column. Errors: E_CONFIG.
 */
export async function readConfig(file: string): Promise<ApplianceConfig> {
	const text = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_CONFIG", `${file} cannot be read: ${cause.code}.`, { cause });
	});
	const plain = readPlain(text);
	if (plain !== undefined) return plain;
	const { isMap, isNode, LineCounter, parseDocument } = await import("yaml");
	const lines = new LineCounter();
	const document = parseDocument(text, { lineCounter: lines, strict: true, uniqueKeys: true });
	const at = (offset: number): Place => ({ file, ...lines.linePos(offset) });
	if (document.errors.length > 0) {
		throw new SlipwayErrors(
			document.errors.map((e) => new SlipwayError("E_CONFIG", firstLine(e.message), { at: at(e.pos[0]) })),
		);
	}
	const parsed = applianceConfig.safeParse(document.toJS({ maxAliasCount: 10 }));
	if (parsed.success) return parsed.data;

	/** Where a value stands in the text; for a missing one the place of its parent. */
	const place = (path: readonly PropertyKey[]): Place => {
		for (let n = path.length; n >= 0; n--) {
			const node = document.getIn(path.slice(0, n), true);
			if (isNode(node) && node.range) return at(node.range[0]);
		}
		return { file, line: 1, col: 1 };
	};
	const keyPlace = (path: readonly PropertyKey[], key: string): Place => {
		const map = document.getIn(path, true);
		const found = isMap<Scalar>(map) ? map.items.find((pair) => pair.key.value === key) : undefined;
		return found?.key.range ? at(found.key.range[0]) : place(path);
	};
	throw new SlipwayErrors(parsed.error.issues.flatMap((issue) => describe(issue, place, keyPlace)));
}

/** A file of strict JSON without a fault, as the builder writes it: the box starts without a YAML parser. */
function readPlain(text: string): ApplianceConfig | undefined {
	try {
		return applianceConfig.parse(parseStrictJson(Buffer.from(text)));
	} catch {
		return undefined; // the other reader tells what is wrong, and where
	}
}

function describe(
	issue: z.core.$ZodIssue,
	place: (path: readonly PropertyKey[]) => Place,
	keyPlace: (path: readonly PropertyKey[], key: string) => Place,
): SlipwayError[] {
	if (issue.code !== "unrecognized_keys") {
		const name = issue.path.join(".") || "the file";
		return [new SlipwayError("E_CONFIG", `${name}: ${issue.message}.`, { at: place(issue.path) })];
	}
	const valid = keysAt(issue.path);
	return issue.keys.map((key) => {
		const hint = valid.length > 0 ? ` Did you mean ${closest(key, valid)}?` : "";
		const name = [...issue.path, key].join(".");
		return new SlipwayError("E_CONFIG", `${name} is not a key of the configuration.${hint}`, {
			at: keyPlace(issue.path, key),
		});
	});
}

/** Valid keys of the object at `path`, from the schema's own JSON Schema. */
function keysAt(path: readonly PropertyKey[]): string[] {
	type Node = { properties?: Record<string, Node>; anyOf?: Node[] };
	let node: Node | undefined = applianceConfig.toJSONSchema({ io: "input" }) as Node;
	for (const step of path) {
		const object: Node | undefined = node?.properties ? node : node?.anyOf?.find((n) => n.properties);
		node = object?.properties?.[String(step)];
	}
	const object = node?.properties ? node : node?.anyOf?.find((n) => n.properties);
	return Object.keys(object?.properties ?? {});
}

function firstLine(text: string): string {
	return text.split("\n", 1)[0] ?? text;
}
