import { join } from "node:path";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { isTrouble } from "../../bundle/read.ts";
import { readStatementFolder, statementFile } from "../../bundle/statement-folder.ts";
import { applyAll, applyStatement, type KnownStatement, newStatements } from "../../bundle/statements.ts";
import type { Trust } from "../../bundle/trust.ts";
import { replaceFile } from "../store/files.ts";
import type { Candidate } from "./candidates.ts";
import {
	afterStatements,
	bundleClaim,
	type Claim,
	type Floors,
	floorFaults,
	NO_FLOORS,
	raised,
	readFloors,
	releaseClaim,
	writeFloors,
} from "./floors.ts";
import type { SignedRelease } from "./release.ts";

/** What of a bundle the floors look at. */
type Item = Pick<Candidate, "index" | "indexDigest">;

/**
 * What the box has learnt about trust since it was built, in `<store>/state/trust`: the statements it was given, and the floors.
 * Nothing in it is believed because it lies there: statements are verified from the baked root keys at every start, and
 * floors can only refuse.
 */
export class TrustLedger {
	readonly #folder: string;
	#trust: Trust;
	/** An error when the file is damaged: nothing new is activated then, and what is committed goes on. */
	#floors: Floors | SlipwayError;

	private constructor(folder: string, trust: Trust, floors: Floors | SlipwayError) {
		this.#folder = folder;
		this.#trust = trust;
		this.#floors = floors;
	}

	/**
	 * Verifies the kept statements, in order, on top of what is baked into the image.
	 * Errors: E_STATEMENT (one no longer counts or cannot be read: nothing may be trusted then), those of the file system.
	 */
	static async open(folder: string, baked: Trust): Promise<TrustLedger> {
		const { trust, kept } = await replay(join(folder, "statements"), baked);
		const floors = await readFloors(floorsFile(folder)).catch((error) => {
			if (error instanceof SlipwayError) return error;
			throw error;
		});
		const ledger = new TrustLedger(folder, trust, floors ?? NO_FLOORS);
		// What the image brings is kept too, so that an older image cannot undo it.
		for (const item of baked.statements) if (!kept.has(item.statement.number)) await ledger.#keep(item);
		await ledger.#resetFloors();
		return ledger;
	}

	/** Keys and denylists as they stand now. */
	get trust(): Trust {
		return this.#trust;
	}

	/**
	 * Takes the statements that a content folder carries and the box does not know yet, each verified, then durable, then in
	 * force. What came before a bad one stays in force. Gives how many were new.
	 * Errors: E_STATEMENT, E_LIMIT, E_IO, those of parseStatement and the file system.
	 */
	async accept(content: string): Promise<number> {
		const fresh = newStatements(this.#trust, await readStatementFolder(join(content, "statements")));
		for (const item of fresh) {
			const next = applyStatement(this.#trust, item);
			await this.#keep(item);
			this.#trust = next;
		}
		await this.#resetFloors();
		return fresh.length;
	}

	/**
	 * Refuses what is older than what the box has had, unless a planned rollback allows this release in place of `committed`, or
	 * of the release that set the floor. `committed` itself (the digest of the catalog's release) is never refused.
	 * Errors: E_ROLLBACK, E_SEQUENCE_REUSED (all at once), E_TRUST_STATE.
	 */
	checkFloors(release: SignedRelease, bundles: readonly Item[], committed?: string): void {
		if (release.digest === committed) return;
		const floors = this.#readable();
		const highest = floors.floors.get(releaseClaim(release).key)?.digest ?? undefined;
		if (this.#isPlanned(release.digest, [committed, highest])) return;
		const faults = floorFaults(floors, claimsOf(release, bundles));
		if (faults.length > 0) throw new SlipwayErrors(faults, "The content is older than what this box has had.");
	}

	/**
	 * Raises the floors to this set: after everything of it has been verified, right before it is committed. Durable on return;
	 * nothing is written when nothing rises. Errors: E_TRUST_STATE, those of the file system.
	 */
	async raise(release: SignedRelease, bundles: readonly Item[]): Promise<void> {
		await this.#write(raised(this.#readable(), claimsOf(release, bundles)));
	}

	/** Floors that were lost with their file begin anew at what is committed, never at nothing. Errors: as raise. */
	async adopt(release: SignedRelease, bundles: readonly Item[]): Promise<void> {
		if (this.#floors instanceof SlipwayError || this.#floors.floors.size > 0) return;
		await this.raise(release, bundles);
	}

	async #keep({ statement, bytes }: KnownStatement): Promise<void> {
		await replaceFile(join(this.#folder, "statements", statementFile(statement.number)), bytes, 0o600);
	}

	#isPlanned(to: string, from: readonly (string | undefined)[]): boolean {
		return this.#trust.statements.some(
			({ statement: s }) => s.kind === "rollback" && s.to === to && from.includes(s.from),
		);
	}

	async #resetFloors(): Promise<void> {
		if (this.#floors instanceof SlipwayError) return;
		await this.#write(afterStatements(this.#floors, this.#trust.statements));
	}

	async #write(next: Floors): Promise<void> {
		if (next === this.#floors) return;
		await writeFloors(floorsFile(this.#folder), next);
		this.#floors = next;
	}

	#readable(): Floors {
		if (this.#floors instanceof SlipwayError) throw this.#floors;
		return this.#floors;
	}
}

async function replay(folder: string, baked: Trust): Promise<{ trust: Trust; kept: Set<number> }> {
	try {
		const found = await readStatementFolder(folder);
		return { trust: applyAll(baked, found), kept: new Set(found.map(({ statement }) => statement.number)) };
	} catch (error) {
		if (!(error instanceof SlipwayError) || isTrouble(error.cause)) throw error; // says nothing about what was kept
		throw new SlipwayError("E_STATEMENT", `Of what this box has kept: ${error.message}`, {
			next: `Boot an image of the same vendor, or remove ${folder} and insert a medium with all statements.`,
			cause: error,
		});
	}
}

function floorsFile(folder: string): string {
	return join(folder, "floors.json");
}

function claimsOf(release: SignedRelease, bundles: readonly Item[]): Claim[] {
	const { development } = release;
	return [releaseClaim(release), ...bundles.map((item) => bundleClaim(item.index, item.indexDigest, development))];
}
