import { sha256Hex } from "./digest.ts";
import { type Envelope, type EnvelopeSigner, parseEnvelope, type Role, signEnvelope, verifyEnvelope } from "./dsse.ts";
import { type ErrorCode, SlipwayError } from "./errors.ts";
import { parseDocument } from "./index-check.ts";
import { PAYLOAD_TYPE } from "./index-schema.ts";
import { canSign, type Denied, makeRole, parseRoleKey, type RoleKey } from "./role.ts";
import { type Statement, statementSchema } from "./statement-schema.ts";
import type { Trust } from "./trust.ts";

/**
 * Statements of the root keys, in one chain numbered from 1 (docs/trust.md). Each names the digest of the one before, so that
 * two chains can never be mixed, and is verified with the root role as it stands after the one before.
 */

/** What a statement's file may have at most, and a whole chain: bytes, statements, bytes. */
export const MAX_STATEMENT = 256 * 1024;
export const MAX_STATEMENTS = 1024;
export const MAX_CHAIN = 8 * 2 ** 20;

export interface KnownStatement {
	readonly statement: Statement;
	/** SHA-256 of the payload, hex: the identity of the statement. */
	readonly digest: string;
	/** The file's bytes. */
	readonly bytes: Buffer;
}

/** A statement that nobody has verified yet; only its number may be used, to find its place. */
export interface UnverifiedStatement extends KnownStatement {
	readonly envelope: Envelope;
	readonly payload: Buffer;
}

/** The bytes of a statement's file, signed with one key. Errors: E_STATEMENT, E_TEXT, E_KEY_WEAK, E_KEY_MISSING. */
export async function makeStatement(statement: Statement, signer: EnvelopeSigner): Promise<Buffer> {
	const payload = Buffer.from(JSON.stringify(statement));
	parsePayload(payload);
	return Buffer.from(`${JSON.stringify(await signEnvelope(PAYLOAD_TYPE.statement, payload, signer))}\n`);
}

/** Parses a statement's file without verifying it. Errors: E_LIMIT, E_STATEMENT, E_FORMAT, E_TEXT and those of parseEnvelope. */
export function parseStatement(bytes: Buffer): UnverifiedStatement {
	if (bytes.length > MAX_STATEMENT) {
		throw new SlipwayError("E_LIMIT", `A statement has ${bytes.length} bytes; 256 KiB are allowed.`);
	}
	const { envelope, payload } = parseEnvelope(bytes);
	return { statement: parsePayload(payload), digest: sha256Hex(payload), bytes, envelope, payload };
}

function parsePayload(payload: Buffer): Statement {
	return parseDocument(payload, statementSchema, "statement", "E_STATEMENT");
}

/** What tells a statement's place in a chain, and whether it is the one that is known there. */
interface Place {
	readonly statement: Pick<Statement, "number">;
	readonly digest: string;
}

/**
 * The statements of `found` that go beyond the trust's chain, in order. What is known already must be the same statement.
 * Errors: E_STATEMENT (another one under a known number, two under one number, one is missing).
 */
export function newStatements<T extends Place>(trust: Pick<Trust, "statements">, found: readonly T[]): T[] {
	const fresh: T[] = [];
	for (const item of [...found].sort((a, b) => a.statement.number - b.statement.number)) {
		const { number } = item.statement;
		const next = trust.statements.length + fresh.length + 1;
		if (number > next) throw new SlipwayError("E_STATEMENT", `Statement ${next} is missing; ${number} is there.`);
		const known = trust.statements[number - 1] ?? fresh[number - 1 - trust.statements.length];
		if (known === undefined) fresh.push(item);
		else if (known.digest !== item.digest) {
			throw new SlipwayError("E_STATEMENT", `There are two statements ${number}; only one can be the vendor's.`);
		}
	}
	return fresh;
}

/** The trust after all that is new in `found`. Errors: those of newStatements and applyStatement. */
export function applyAll(trust: Trust, found: readonly UnverifiedStatement[]): Trust {
	return newStatements(trust, found).reduce(applyStatement, trust);
}

/**
 * Verifies the next statement of the chain and gives the trust after it. A rotation of the root keys needs the thresholds of
 * the old and of the new ones (TUF 1.0 section 5.3). The denylist only grows, and what is denied stays so through rotations;
 * the root role must stay able to sign, or no statement could ever follow. Errors: E_STATEMENT, with the cause, and E_LIMIT.
 */
export function applyStatement(trust: Trust, item: UnverifiedStatement): Trust {
	const { statement, digest, bytes } = item;
	const name = `Statement ${statement.number} (${statement.kind})`;
	if (statement.number > MAX_STATEMENTS) {
		throw new SlipwayError("E_LIMIT", `${name} is beyond the ${MAX_STATEMENTS} that a chain may have.`);
	}
	// What is taken bit by bit is read in one go at the next start.
	if (trust.statements.reduce((sum, known) => sum + known.bytes.length, bytes.length) > MAX_CHAIN) {
		throw new SlipwayError("E_LIMIT", `${name} is beyond the ${MAX_CHAIN / 2 ** 20} MiB that a chain may have.`);
	}
	if (trust.root === undefined) refuse(name, "this trust store holds no root keys");
	const last = trust.statements.at(-1);
	if (statement.number !== trust.statements.length + 1) refuse(name, `${trust.statements.length + 1} must come first`);
	if (statement.previous !== (last?.digest ?? null))
		refuse(name, "it follows another statement than the one before it");
	checkSigned(name, item, trust.root);
	const next = change(trust, statement, name);
	if (next.root !== trust.root && statement.kind === "rotate") checkSigned(name, item, next.root!);
	if (!canSign(next.root!)) refuse(name, "too few root keys would be left to sign another one");
	return { ...next, statements: [...trust.statements, { statement, digest, bytes }] };
}

function checkSigned(name: string, { envelope, payload }: UnverifiedStatement, root: Role): void {
	try {
		verifyEnvelope(envelope, payload, PAYLOAD_TYPE.statement, root);
	} catch (cause) {
		refuse(name, (cause as Error).message, cause);
	}
}

function change(trust: Trust, statement: Statement, name: string): Trust {
	const { denyKeys, denyIndexes } = trust.release;
	if (statement.kind === "deny") {
		const denied: Denied = {
			denyKeys: new Set([...denyKeys, ...statement.keys]),
			denyIndexes: new Set([...denyIndexes, ...statement.indexes, ...statement.releases]),
		};
		return { ...trust, release: { ...trust.release, ...denied }, root: { ...trust.root!, ...denied } };
	}
	if (statement.kind !== "rotate") return trust; // what it means for floors is decided where the floors are
	const roleOf = ({ threshold, keys }: NonNullable<typeof statement.root>) =>
		makeRole(
			threshold,
			keys.map((pem) => keyOf(pem, name)),
			{ denyKeys, denyIndexes },
			name,
			"E_STATEMENT",
		);
	const next = {
		...trust,
		...(statement.release === undefined ? {} : { release: roleOf(statement.release) }),
		...(statement.root === undefined ? {} : { root: roleOf(statement.root) }),
	};
	if (!canSign(next.release)) refuse(name, "it names release keys that have been denied");
	refuseSharedKeys(next, name, "E_STATEMENT");
	return next;
}

function keyOf(pem: string, name: string): RoleKey {
	try {
		return parseRoleKey(pem);
	} catch (cause) {
		refuse(name, (cause as Error).message, cause);
	}
}

/** One key in both roles would let whoever signs content change who may. Errors: `code`. */
export function refuseSharedKeys(
	{ release, root }: Pick<Trust, "release" | "root">,
	from: string,
	code: ErrorCode,
): void {
	const shared = [...release.keys.keys()].find((id) => root?.keys.has(id));
	if (shared !== undefined) throw new SlipwayError(code, `${from} gives the key ${shared} both roles.`);
}

function refuse(name: string, why: string, cause?: unknown): never {
	throw new SlipwayError("E_STATEMENT", `${name} does not count: ${why.replace(/\.$/, "")}.`, { cause });
}
