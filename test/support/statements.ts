import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { signEnvelope } from "../../bundle/dsse.ts";
import { PAYLOAD_TYPE } from "../../bundle/index-schema.ts";
import type { Statement } from "../../bundle/statement-schema.ts";
import { parseStatement, type UnverifiedStatement } from "../../bundle/statements.ts";
import type { TestSigner } from "./bundles.ts";

type Kinds = { [K in Statement["kind"]]: Extract<Statement, { kind: K }> };
type Common = "format" | "critical" | "number" | "previous" | "reason" | "annotations" | "kind";
type Said<K extends keyof Kinds> = Partial<Omit<Kinds[K], Common>>;

/** Makes the statements of one vendor, each following the one before, and keeps them. */
export class TestChain {
	readonly list: UnverifiedStatement[] = [];
	#roots: readonly TestSigner[];

	constructor(...roots: TestSigner[]) {
		this.#roots = roots;
	}

	/** Signs the next statement, with the root keys or `by`. `change` bends the payload, however wrong that is. */
	async add<K extends keyof Kinds>(
		kind: K,
		said: Said<K>,
		by: readonly TestSigner[] = this.#roots,
		change: object = {},
	): Promise<UnverifiedStatement> {
		const item = await this.make(kind, said, by, change);
		this.list.push(item);
		return item;
	}

	/** As add, without making it part of the chain. */
	async make<K extends keyof Kinds>(
		kind: K,
		said: Said<K>,
		by: readonly TestSigner[] = this.#roots,
		change: object = {},
	): Promise<UnverifiedStatement> {
		const empty: { [K in keyof Kinds]: Omit<Kinds[K], Common> } = {
			rotate: {},
			deny: { keys: [], indexes: [], releases: [] },
			"floor-reset": { products: [], bundles: [] },
			rollback: { from: "0".repeat(64), to: "0".repeat(64), version: "1" },
		};
		const payload = {
			...{ format: 1, critical: [], number: this.list.length + 1, previous: this.list.at(-1)?.digest ?? null },
			...{ kind, reason: "test", annotations: {}, ...empty[kind], ...said, ...change },
		};
		return parseStatement(await signBytes(Buffer.from(JSON.stringify(payload)), by));
	}

	/** Signs with other keys from now on, as after a rotation of the root. */
	use(...roots: TestSigner[]): void {
		this.#roots = roots;
	}

	/** Puts the statements into `statements/` of a content folder, under names that say nothing of their order. */
	async write(content: string, list: readonly UnverifiedStatement[] = this.list): Promise<void> {
		const folder = join(content, "statements");
		await mkdir(folder, { recursive: true });
		for (const [i, { bytes }] of list.entries()) await writeFile(join(folder, `${99 - i}-vendor.dsse.json`), bytes);
	}
}

/** A rotation's keys. */
export function keysOf(threshold: number, ...signers: readonly TestSigner[]) {
	return { threshold, keys: signers.map((s) => s.publicKeyPem) };
}

/** A statement's file with one signature for each signer. */
export async function signBytes(payload: Buffer, by: readonly TestSigner[]): Promise<Buffer> {
	const all = await Promise.all(by.map((signer) => signEnvelope(PAYLOAD_TYPE.statement, payload, signer)));
	return Buffer.from(JSON.stringify({ ...all[0]!, signatures: all.flatMap((e) => e.signatures) }));
}
