import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { sha256Hex } from "../../bundle/digest.ts";
import { parseEnvelope } from "../../bundle/dsse.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { parseDocument } from "../../bundle/index-check.ts";
import { contentRelease } from "../../bundle/index-schema.ts";
import { openBundle } from "../../bundle/reader.ts";
import { parseRoleKey } from "../../bundle/role.ts";
import { readStatementFolder, statementFile } from "../../bundle/statement-folder.ts";
import type { Statement } from "../../bundle/statement-schema.ts";
import { makeStatement } from "../../bundle/statements.ts";
import { addSignature } from "../signing/further.ts";
import { displayPath } from "../yaml/load.ts";
import type { CommandContext } from "./command.ts";
import { openKey } from "./sign.ts";

interface Common {
	readonly key: string[];
	readonly out: string;
	readonly reason?: string;
	readonly passphraseFile?: string;
}
type Said<S> = S extends Statement
	? Omit<S, "format" | "critical" | "number" | "previous" | "reason" | "annotations">
	: never;

interface Rotate extends Common {
	readonly releaseKey?: string[];
	readonly releaseThreshold: string;
	readonly rootKey?: string[];
	readonly rootThreshold: string;
}

/** Errors of each: E_USAGE for options that are not right, those of openSigner, makeStatement and addSignature. */
export async function makeRotate(context: CommandContext, o: Rotate): Promise<void> {
	const role = async (files: string[] | undefined, threshold: string) =>
		files && { threshold: number(threshold), keys: await Promise.all(files.map(publicKey)) };
	const release = await role(o.releaseKey, o.releaseThreshold);
	const root = await role(o.rootKey, o.rootThreshold);
	await make(context, o, { kind: "rotate", ...(release && { release }), ...(root && { root }) });
}

interface Deny extends Common {
	readonly denyKey?: string[];
	readonly bundle?: string[];
	readonly release?: string[];
}

export async function makeDeny(context: CommandContext, o: Deny): Promise<void> {
	const all = (list: string[] | undefined, digestOf: (file: string) => Promise<string>) =>
		Promise.all((list ?? []).map((given) => (isDigest(given) ? given : digestOf(given))));
	const keys = await all(o.denyKey, async (file) => parseRoleKey(await publicKey(file)).key.keyId);
	const indexes = await all(o.bundle, indexDigest);
	const releases = await all(o.release, async (file) => (await readRelease(file)).digest);
	await make(context, o, { kind: "deny", keys, indexes, releases });
}

interface FloorReset extends Common {
	readonly product?: string[];
	readonly bundle?: string[];
}

export async function makeFloorReset(context: CommandContext, o: FloorReset): Promise<void> {
	const products = (o.product ?? []).map((text) => {
		const [, product, sequence] = /^(.+)=(\d+)$/.exec(text) ?? usage(`${text} is not NAME=SEQUENCE`);
		return { product: product!, sequence: number(sequence!) };
	});
	const bundles = (o.bundle ?? []).map((text) => {
		const form = /^([a-z0-9-]+)\/(amd64|arm64|any)\/(true|false|n\/a)=(\d+)$/;
		const [, name, arch, fips, sequence] = form.exec(text) ?? usage(`${text} is not NAME/ARCH/FIPS=SEQUENCE`);
		return {
			name: name!,
			arch: arch as "amd64" | "arm64" | "any",
			fips: fips === "n/a" ? ("n/a" as const) : fips === "true",
			sequence: number(sequence!),
		};
	});
	await make(context, o, { kind: "floor-reset", products, bundles });
}

interface Rollback extends Common {
	readonly from: string;
	readonly to: string;
}

export async function makeRollback(context: CommandContext, o: Rollback): Promise<void> {
	const from = isDigest(o.from) ? o.from : (await readRelease(o.from)).digest;
	const to = await readRelease(o.to);
	await make(context, o, { kind: "rollback", from, to: to.digest, version: to.version });
}

async function make({ root, print }: CommandContext, o: Common, said: Said<Statement>): Promise<void> {
	const before = (await readStatementFolder(o.out)).sort((a, b) => a.statement.number - b.statement.number);
	const gap = before.findIndex(({ statement }, i) => statement.number !== i + 1);
	if (gap !== -1) throw new SlipwayError("E_STATEMENT", `The chain in ${o.out} has no statement ${gap + 1}.`);
	const statement: Statement = {
		...{ format: 1, critical: [], number: before.length + 1, previous: before.at(-1)?.digest ?? null },
		...{ reason: o.reason ?? "", annotations: {} },
		...said,
	};
	const signers = await Promise.all(o.key.map((file) => openKey(root, file, o.passphraseFile)));
	const bytes = await makeStatement(statement, signers[0]!);
	const file = path.join(o.out, statementFile(statement.number));
	await mkdir(o.out, { recursive: true });
	await writeFile(file, bytes, { flag: "wx" });
	for (const signer of signers.slice(1)) await addSignature(file, signer);
	const keys = signers.map((signer) => signer.keyId);
	print(
		() => `${displayPath(file)}: statement ${statement.number} (${statement.kind}), signed by ${keys.join(", ")}\n`,
		() => ({ file, statement, keys }),
	);
}

function isDigest(text: string): boolean {
	return /^[0-9a-f]{64}$/.test(text);
}

async function publicKey(file: string): Promise<string> {
	return (await read(file)).toString("utf8").replaceAll("\r\n", "\n");
}

async function indexDigest(file: string): Promise<string> {
	const bundle = await openBundle(file);
	await bundle.close();
	return bundle.indexDigest;
}

/** What a release says of itself; its signature is the box's business. */
async function readRelease(file: string): Promise<{ digest: string; version: string }> {
	const { payload } = parseEnvelope(await read(file));
	const { version } = parseDocument(payload, contentRelease, "content release", "E_RELEASE");
	return { digest: sha256Hex(payload), version };
}

function read(file: string): Promise<Buffer> {
	return readFile(file).catch((cause: NodeJS.ErrnoException) => {
		throw new SlipwayError("E_USAGE", `${file} is neither a digest nor a file that can be read (${cause.code}).`, {
			cause,
		});
	});
}

function number(text: string): number {
	return /^\d{1,10}$/.test(text) ? Number(text) : usage(`${text} is not a number`);
}

function usage(why: string): never {
	throw new SlipwayError("E_USAGE", `${why}.`);
}
