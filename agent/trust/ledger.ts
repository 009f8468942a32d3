import { join } from "node:path";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { isTrouble } from "../../bundle/read.ts";
import { followingStatements, readStatementFolder, statementFile } from "../../bundle/statement-folder.ts";
import { applyAll, applyStatement, type KnownStatement } from "../../bundle/statements.ts";
import type { Trust } from "../../bundle/trust.ts";
import { replaceFile } from "../store/files.ts";
import type { Candidate } from "./candidates.ts";
import {
	afterStatements,
	bundleClaim,
	type Claim,
	type Floors,
	floorFaults,
	merged,
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
 * floors can only refuse. One for a process; what changes it runs one after the other, each on what the one before left.
 */
export class TrustLedger {
	readonly #folder: string;
	#trust: Trust;
	/** An error while the file is damaged: nothing new is activated then, and what is committed goes on. */
	#floors: Floors | SlipwayError = NO_FLOORS;
	#last: Promise<unknown> = Promise.resolve();

	private constructor(folder: string, trust: Trust) {
		this.#folder = folder;
		this.#trust = trust;
	}

	/**
	 * Verifies the kept statements, in order, on top of what is baked into the image.
	 * Errors: E_STATEMENT (one no longer counts or cannot be read: nothing may be trusted then), those of the file system.
	 */
	static async open(folder: string, baked: Trust): Promise<TrustLedger> {
		const { trust, kept } = await replay(join(folder, "statements"), baked);
		const ledger = new TrustLedger(folder, trust);
		// What the image brings is kept too, so that an older image cannot undo it.
		for (const item of baked.statements) if (!kept.has(item.statement.number)) await ledger.#keep(item);
		await ledger.#settleFloors();
		return ledger;
	}

	/**
	 * Keys and denylists as they stand now: another object exactly when a statement has come into force.
	 * Errors: E_STATEMENT (the floors know of more statements than are kept; a medium with all of them may be accepted first).
	 */
	get trust(): Trust {
		const { length } = this.#trust.statements;
		const had = this.#floors instanceof SlipwayError ? 0 : this.#floors.statements;
		if (had <= length) return this.#trust;
		throw new SlipwayError(
			"E_STATEMENT",
			`This box has had ${had} statements; ${length} are left in ${this.#folder}.`,
			{
				next: "Insert a medium with all statements. Check the data disk: it has lost files.",
			},
		);
	}

	/**
	 * Takes the statements that a content folder carries and the box does not know yet, each verified, then durable, then in
	 * force. What was taken before a bad one stays in force. Gives how many were new. May be called as often as content comes.
	 * Errors: E_STATEMENT, E_LIMIT, E_IO, those of followingStatements, applyStatement and the file system.
	 */
	accept(content: string): Promise<number> {
		return this.#inTurn(async () => {
			let taken = 0;
			try {
				for await (const item of followingStatements(join(content, "statements"), this.#trust.statements)) {
					const next = applyStatement(this.#trust, item);
					await this.#keep(item);
					this.#trust = next;
					taken += 1;
				}
			} finally {
				await this.#settleFloors();
			}
			return taken;
		});
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
	raise(release: SignedRelease, bundles: readonly Item[]): Promise<void> {
		return this.#inTurn(async () => {
			await this.#change((floors) => raised(floors, claimsOf(release, bundles)));
			this.#readable();
		});
	}

	/** Floors that were lost with their file begin anew at what is committed, never at nothing. Errors: as raise. */
	async adopt(release: SignedRelease, bundles: readonly Item[]): Promise<void> {
		if (this.#floors instanceof SlipwayError || this.#floors.floors.size > 0) return;
		await this.raise(release, bundles);
	}

	#inTurn<T>(change: () => Promise<T>): Promise<T> {
		const turn = this.#last.then(change);
		this.#last = turn.catch(() => undefined);
		return turn;
	}

	async #keep({ statement, bytes }: KnownStatement): Promise<void> {
		await replaceFile(join(this.#folder, "statements", statementFile(statement.number)), bytes, 0o600);
	}

	#isPlanned(to: string, from: readonly (string | undefined)[]): boolean {
		return this.#trust.statements.some(
			({ statement: s }) => s.kind === "rollback" && s.to === to && from.includes(s.from),
		);
	}

	/** Has the statements in force take their effect on the floors. A damaged file is told by who needs the floors. */
	#settleFloors(): Promise<void> {
		return this.#change((floors) => afterStatements(floors, this.#trust.statements));
	}

	/** Changes the floors as the file has them now: it may be higher than what was read once, damaged, or whole again. */
	async #change(to: (floors: Floors) => Floors): Promise<void> {
		const onDisk = (await readFloors(floorsFile(this.#folder)).catch(faultOf)) ?? NO_FLOORS;
		if (onDisk instanceof SlipwayError) {
			this.#floors = onDisk;
			return;
		}
		const next = to(this.#floors instanceof SlipwayError ? onDisk : merged(onDisk, this.#floors));
		if (next !== onDisk) await writeFloors(floorsFile(this.#folder), next);
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

function faultOf(error: unknown): SlipwayError {
	if (error instanceof SlipwayError) return error;
	throw error;
}

function floorsFile(folder: string): string {
	return join(folder, "floors.json");
}

function claimsOf(release: SignedRelease, bundles: readonly Item[]): Claim[] {
	const { development } = release;
	return [releaseClaim(release), ...bundles.map((item) => bundleClaim(item.index, item.indexDigest, development))];
}
