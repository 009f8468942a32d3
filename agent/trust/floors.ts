import { readFile } from "node:fs/promises";
import { sha256Hex } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { type BundleIndex, sha256 } from "../../bundle/index-schema.ts";
import type { KnownStatement } from "../../bundle/statements.ts";
import { parseStrictJson } from "../../bundle/strict-json.ts";
import { z } from "../../bundle/zod.ts";
import { replaceFile } from "../store/files.ts";
import type { SignedRelease } from "./release.ts";

/** The highest sequence that was ever accepted of one kind of content, and what had it; null after a reset. */
interface Floor {
	readonly sequence: number;
	readonly digest: string | null;
}

/** Floors by kind of content, and the last statement that has had its effect on them: a reset counts once. */
export interface Floors {
	readonly statements: number;
	readonly floors: ReadonlyMap<string, Floor>;
}

/** A document that would be activated: which floor it meets, and with what. */
export interface Claim {
	readonly key: string;
	readonly title: string;
	readonly sequence: number;
	readonly digest: string;
	/** A development key signed the release: the same sequence may come with other bytes, as it does from build to build. */
	readonly development: boolean;
}

export const NO_FLOORS: Floors = { statements: 0, floors: new Map() };

const file = z.strictObject({
	format: z.literal(1),
	statements: z.int().min(0),
	floors: z.array(z.tuple([z.string(), z.int().min(0), sha256.nullable()])),
});

/** A release's floor is its product's. */
export function releaseClaim({ release, digest, development }: SignedRelease): Claim {
	const { product, version, sequence } = release;
	return { key: `release ${product}`, title: `The content release ${version}`, sequence, digest, development };
}

/** A bundle's floor is that of its name, architecture and FIPS flag. */
export function bundleClaim(index: BundleIndex, digest: string, development: boolean): Claim {
	const title = `The bundle ${index.name} ${index.version}`;
	return { key: bundleKey(index), title, sequence: index.sequence, digest, development };
}

function bundleKey({ name, arch, fips }: Pick<BundleIndex, "name" | "arch" | "fips">): string {
	return `bundle ${name} ${arch} fips=${fips}`;
}

/** E_ROLLBACK for what is older than its floor, E_SEQUENCE_REUSED for another document with the floor's own sequence. */
export function floorFaults({ floors }: Floors, claims: readonly Claim[]): SlipwayError[] {
	return claims.flatMap(({ key, title, sequence, digest, development }) => {
		const floor = floors.get(key);
		if (floor === undefined || sequence > floor.sequence) return [];
		if (sequence < floor.sequence) {
			const message = `${title} has the sequence ${sequence}; this box has had ${floor.sequence}.`;
			return [new SlipwayError("E_ROLLBACK", message)];
		}
		if (development || floor.digest === null || floor.digest === digest) return [];
		return [new SlipwayError("E_SEQUENCE_REUSED", `${title} has the sequence ${sequence} of another one before it.`)];
	});
}

/** Floors only rise here. The same object comes back when nothing does. */
export function raised(floors: Floors, claims: readonly (Floor & { readonly key: string })[]): Floors {
	const higher = claims.filter(({ key, sequence }) => sequence > (floors.floors.get(key)?.sequence ?? 0));
	const renewed = claims.filter(({ key, sequence }) => {
		const floor = floors.floors.get(key);
		return floor?.sequence === sequence && floor.digest === null;
	});
	const changes = [...higher, ...renewed].map(({ key, sequence, digest }) => [key, { sequence, digest }] as const);
	return changes.length === 0 ? floors : { ...floors, floors: new Map([...floors.floors, ...changes]) };
}

/**
 * What two copies of the floors, one of them perhaps old, come to: that on which more statements have had their effect, or
 * else the higher of each. The first itself, if the second adds nothing.
 */
export function merged(a: Floors, b: Floors): Floors {
	if (a.statements !== b.statements) return a.statements > b.statements ? a : b;
	const claims = [...b.floors].flatMap(([key, { sequence, digest }]) =>
		digest === null && a.floors.get(key)?.sequence === sequence ? [] : [{ key, sequence, digest }],
	);
	return raised(a, claims);
}

/** Lowers what the statements that have not had their effect yet say, in their order; nothing rises by it. */
export function afterStatements(before: Floors, statements: readonly KnownStatement[]): Floors {
	if (statements.length <= before.statements) return before;
	const floors = new Map(before.floors);
	for (const { statement } of statements.slice(before.statements)) {
		if (statement.kind !== "floor-reset") continue;
		const resets = [
			...statement.products.map(({ product, sequence }) => [`release ${product}`, sequence] as const),
			...statement.bundles.map((bundle) => [bundleKey(bundle), bundle.sequence] as const),
		];
		for (const [key, sequence] of resets) {
			if ((floors.get(key)?.sequence ?? 0) > sequence) floors.set(key, { sequence, digest: null });
		}
	}
	return { statements: statements.length, floors };
}

/**
 * Reads the floors' file; undefined when there is none. A line with the SHA-256 of the first stands below it, so that damage
 * shows: a floor that was misread would be a door. Errors: E_TRUST_STATE.
 */
export async function readFloors(path: string): Promise<Floors | undefined> {
	const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
		if (cause.code === "ENOENT") return undefined;
		throw damaged(path, cause);
	});
	if (bytes === undefined) return undefined;
	try {
		const [json = "", sum, ...rest] = bytes.toString("latin1").split("\n");
		if (sha256Hex(json) !== sum || rest.join("") !== "") throw new Error("its sum is wrong");
		const { statements, floors } = file.parse(parseStrictJson(Buffer.from(json)));
		return { statements, floors: new Map(floors.map(([key, sequence, digest]) => [key, { sequence, digest }])) };
	} catch (cause) {
		throw damaged(path, cause);
	}
}

/** Replaces the floors' file in one durable step. Errors: those of the file system. */
export async function writeFloors(path: string, { statements, floors }: Floors): Promise<void> {
	const entries = [...floors].map(([key, { sequence, digest }]) => [key, sequence, digest]);
	const json = JSON.stringify({ format: 1, statements, floors: entries });
	await replaceFile(path, `${json}\n${sha256Hex(json)}\n`, 0o600);
}

function damaged(path: string, cause: unknown): SlipwayError {
	return new SlipwayError("E_TRUST_STATE", `${path} is damaged or cannot be read.`, {
		next: "What is committed is still served. Check the data disk; then see docs/trust.md, section Floors.",
		cause,
	});
}
