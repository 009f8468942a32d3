import path from "node:path";
import { z } from "zod";
import type { Place } from "../../bundle/errors.ts";
import type { Yaml } from "../yaml/load.ts";
import { type ProfileFile, profileSchema } from "./schema.ts";

type Tree = Record<string, unknown>;

export interface Merged {
	readonly values: ProfileFile;
	/** Where the winning value of a key stands (`base`), or one entry of a list (`overlays.kvm`). */
	readonly origin: ReadonlyMap<string, Place>;
}

/** Keys of a file that say something about the file itself, not about the appliance. */
const OWN_KEYS = new Set(["apiVersion", "kind", "extends"]);

/** Lays profile files over each other, the last one on top. Lists join as their `.meta({ merge })` says. */
export function mergeLayers(layers: readonly Yaml<ProfileFile>[]): Merged {
	const values: Tree = {};
	const origin = new Map<string, Place>();
	for (const layer of layers) {
		const over = Object.entries(layer.value ?? salvage(layer.plain)).filter(([key]) => !OWN_KEYS.has(key));
		mergeObject(values, { ...Object.fromEntries(over), ...placed(layer) }, profileSchema, [], (keys, name) => {
			origin.set(name.join("."), layer.place(keys));
		});
	}
	return { values: values as ProfileFile, origin };
}

/** What is named by a path is named relative to the file that says so, and layers may stand in different folders. */
function placed({ file, value }: Yaml<ProfileFile>): Pick<ProfileFile, "bundles" | "trust"> {
	const at = (name: string) => path.resolve(path.dirname(file), name);
	const bundle = (name: string) => (name.includes("/") ? at(name) : name);
	const { bundles, trust } = value ?? {};
	const role = (name: "release" | "root") =>
		trust?.[name] && { [name]: { ...trust[name], keys: trust[name].keys.map(at) } };
	return {
		...(bundles && {
			bundles: bundles.map((b) => (typeof b === "string" ? bundle(b) : { ...b, name: bundle(b.name) })),
		}),
		...(trust && {
			trust: { ...role("release"), ...role("root"), ...(trust.statements && { statements: at(trust.statements) }) },
		}),
	};
}

/** The keys of a faulty file that are good, so that one pass also finds what is wrong with those. */
function salvage(plain: unknown): Tree {
	const good = Object.entries(profileSchema.shape).flatMap(([key, type]) => {
		const parsed = type.safeParse((plain as Tree | null | undefined)?.[key]);
		return parsed.success && parsed.data !== undefined ? [[key, parsed.data] as const] : [];
	});
	return Object.fromEntries(good);
}

type Note = (keys: readonly PropertyKey[], name: readonly string[]) => void;

function mergeObject(target: Tree, over: Tree, schema: z.ZodObject, at: readonly string[], note: Note): void {
	for (const [key, value] of Object.entries(over)) {
		if (value === undefined) continue;
		const keys = [...at, key];
		const type = unwrap(schema.shape[key]);
		if (type instanceof z.ZodObject) {
			const inner = (target[key] ?? {}) as Tree;
			mergeObject(inner, value as Tree, type, keys, note);
			target[key] = inner;
		} else if (type instanceof z.ZodArray) {
			const append = type.meta()?.merge === "append";
			target[key] = mergeList(append ? ((target[key] ?? []) as unknown[]) : [], value as unknown[]);
			for (const [i, item] of (value as unknown[]).entries()) note([...keys, i], [...keys, identity(item)]);
		} else target[key] = value;
		note(keys, keys);
	}
}

/** Appends without repeats; an entry with the same name takes the older one's place. */
function mergeList(base: readonly unknown[], over: readonly unknown[]): unknown[] {
	const byName = new Map(base.map((item) => [identity(item), item]));
	for (const item of over) byName.set(identity(item), item);
	return [...byName.values()];
}

function identity(item: unknown): string {
	return typeof item === "object" && item !== null && "name" in item ? String(item.name) : String(item);
}

function unwrap(type: unknown): unknown {
	return type instanceof z.ZodOptional ? unwrap(type.unwrap()) : type;
}
