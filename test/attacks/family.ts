import fc from "fast-check";
import type { Facts } from "../../agent/agent.ts";
import type { Role } from "../../bundle/dsse.ts";
import type { ErrorCode } from "../../bundle/errors.ts";
import type { TestSigner } from "../support/bundles.ts";
import type { Site } from "./site.ts";

/** Whom the box trusts, where that is not the site's one key. */
export interface TrustChoice extends Partial<Pick<Role, "threshold" | "denyKeys" | "denyIndexes">> {
	readonly keys: readonly TestSigner[];
	/** The key for statements; without one there are none. */
	readonly root?: TestSigner;
}

/** What the attacker hands over. */
export type Offer =
	/** A bundle with its `.sig.bin`, both by a key holder unless the attack is just that. */
	| { readonly bundle: string; readonly trust?: TrustChoice; readonly onIndex?: () => Promise<void> }
	/** A whole content folder, for a box of this kind. */
	| {
			readonly content: string;
			readonly trust?: TrustChoice;
			readonly config?: object;
			readonly facts?: Facts;
			readonly store?: string;
			/** The content is good and only the box is not: it may serve what it can. */
			readonly authentic?: true;
			/** What the box's clock says at its start, and after each change of its state. */
			readonly clock?: readonly number[];
			/** Ends what the attack has running. */
			readonly after?: () => Promise<void>;
	  };

export interface Attack {
	/** Variant and its parameters. */
	readonly what: string;
	/** The codes one of which must be the answer; none: it must load. */
	readonly codes: readonly ErrorCode[];
	readonly make: (site: Site) => Promise<Offer>;
}

interface Variant {
	readonly codes: readonly ErrorCode[];
	readonly attacks: fc.Arbitrary<Attack>;
}

/** One row of the attack table: generated ways to try it, and the codes that answer them. */
export interface Family {
	readonly row: string;
	readonly title: string;
	readonly codes: readonly ErrorCode[];
	/** Some of it is no attack on trust, and loads. */
	readonly loads: boolean;
	readonly attacks: fc.Arbitrary<Attack & { readonly serve: Serve }>;
}

/** How the box that gets the attack serves its content: copied into its store, or out of the bundles. */
export type Serve = "store" | "in-place";
const SERVE = fc.constantFrom<Serve[]>("store", "in-place");

/** One way to try an attack; `make` puts it together from generated parameters. */
export function variant<C>(
	what: string,
	codes: ErrorCode | readonly ErrorCode[],
	cases: fc.Arbitrary<C>,
	make: (site: Site, c: C) => Promise<Offer>,
): Variant {
	const list = typeof codes === "string" ? [codes] : codes;
	const attacks = cases.map(
		(c): Attack => ({ what: `${what} ${fc.stringify(c)}`, codes: list, make: (site) => make(site, c) }),
	);
	return { codes: list, attacks };
}

export function family(row: string, title: string, ...variants: Variant[]): Family {
	return {
		row,
		title,
		codes: [...new Set(variants.flatMap((v) => v.codes))].sort(),
		loads: variants.some((v) => v.codes.length === 0),
		attacks: fc.tuple(fc.oneof(...variants.map((v) => v.attacks)), SERVE).map(([attack, serve]) => {
			const what = `${row} ${attack.what}, ${serve}`;
			return { ...attack, serve, what, [fc.toStringMethod]: () => what }; // what the report of a failure shows
		}),
	};
}

/** A place in something whose length is known only later: `pick(place, length)` is below `length`. */
export const place = fc.nat(0xffff_ffff);
export const pick = (at: number, length: number) => at % length;

/** Strings that no signed field may hold: control characters, escape sequences, everything beyond printable ASCII. */
export const unprintable = fc
	.tuple(
		fc.string({ maxLength: 8 }),
		fc.constantFrom("\u001b[2J", "\u0000", "\n", "\r", "\u009b31m", "\u202e", "é", "\u007f", "\u2028", "😀"),
		fc.string({ maxLength: 8 }),
	)
	.map((parts) => parts.join(""));
