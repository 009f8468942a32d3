import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { type ErrorCode, SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { printable } from "./printable.ts";

/** booting, preflight, verifying, serving, then ready; or degraded (a set is served, something is wrong) or failed. */
export type Stage = "booting" | "preflight" | "verifying" | "serving" | "ready" | "degraded" | "failed";

/**
 * One thing that was checked. `code`, `cause` and `next` say what is wrong and what to do; empty when all is well. One that is
 * `ok` and has a code (`W_…`) is a warning: it is no reason not to be ready.
 */
export interface Condition {
	readonly name: string;
	readonly ok: boolean;
	readonly code: ErrorCode | null;
	readonly cause: string;
	readonly next: string;
}

export interface Proof {
	readonly name: string;
	readonly ok: boolean;
	readonly detail: string;
}

export interface FipsStatus {
	readonly required: boolean;
	readonly active: boolean;
	readonly proofs: readonly Proof[];
	readonly module: ApplianceConfig["fipsModule"];
	/** What may be said about it, in one sentence. */
	readonly statement: string;
}

/** How the box was started, and what that proves. */
export interface BootStatus {
	/** Secure Boot is on, says the firmware; null when nobody has asked it, as on a host that is no appliance. */
	readonly secureBoot: boolean | null;
	/**
	 * What stands behind the bytes of the root image: `authenticated`, a root hash that somebody signed; `integrity-checked`, one on a
	 * kernel line that nobody signed, which stops damage and not an attacker; `unchecked`, nothing.
	 */
	readonly root: "authenticated" | "integrity-checked" | "unchecked";
}

export interface BundleStatus {
	readonly name: string;
	readonly version: string;
	readonly arch: string;
	readonly fips: boolean | "n/a";
	readonly indexDigest: string;
	readonly required: boolean;
	readonly state: "pending" | "verifying" | "verified" | "committed" | "in-place" | "absent" | "bad";
	readonly names: readonly string[];
}

/** The reading of the whole store in the background. */
export interface ScrubStatus {
	readonly running: boolean;
	readonly bytesDone: number;
	readonly bytesTotal: number;
	/** What the last one found; `ended` is RFC 3339, by the box's own clock. */
	readonly last: {
		readonly blobs: number;
		readonly bytes: number;
		readonly bad: number;
		readonly ended: string;
	} | null;
}

/** Everything the agent has to say. HTTP, console, metrics and status.json are views of this one object. */
export interface Status {
	readonly stage: Stage;
	/** RFC 3339, by the box's own clock. */
	readonly since: string;
	readonly progress: {
		readonly blobsDone: number;
		readonly blobsTotal: number;
		readonly bytesDone: number;
		readonly bytesTotal: number;
	};
	readonly conditions: readonly Condition[];
	readonly lastError: { readonly code: ErrorCode; readonly cause: string; readonly next: string } | null;
	readonly product: string;
	readonly version: string;
	readonly profile: string;
	readonly arch: string;
	readonly buildId: string;
	/** Id of the root image, from the kernel line; null on a host that is not an appliance. */
	readonly rootId: string | null;
	readonly boot: BootStatus;
	readonly fips: FipsStatus;
	/** A development key is among the trusted release keys, so anything here may be signed with it. */
	readonly developmentKey: boolean;
	readonly store: { readonly path: string; readonly kind: "persistent" | "ephemeral" };
	readonly scrub: ScrubStatus;
	readonly release: { readonly version: string; readonly sequence: number; readonly digest: string } | null;
	readonly bundles: readonly BundleStatus[];
	/** Where the bytes of the served names come from; null while nothing is served. */
	readonly servedFrom: "store" | "medium" | null;
	/** The medium that something is read from is there; null when nothing needs it. */
	readonly mediumPresent: boolean | null;
	/** Digests that the served set needs and no verified source has; null while nothing is served. */
	readonly missingBlobs: readonly string[] | null;
	/** The registry that the content is loaded into as well, and whether every name answers there; null without one. */
	readonly target: { readonly url: string; readonly delivered: boolean } | null;
	/** Check of the medium asked for with slipway.check=1; null when it was not. */
	readonly mediumCheck: {
		/** Files. */
		readonly done: number;
		readonly total: number;
		readonly bytesDone: number;
		readonly bytesTotal: number;
		/** Paths on the medium. */
		readonly bad: readonly string[];
	} | null;
	readonly addresses: readonly string[];
	readonly urls: { readonly registry: string | null; readonly status: string | null };
	/** SHA-256 of the device certificate (DER), hex; null without TLS. */
	readonly tlsSha256: string | null;
}

/** Holds the status and tells listeners of every change. */
export class State {
	#status: Status;
	readonly #listeners: ((status: Status) => void)[] = [];

	constructor(initial: Status) {
		this.#status = initial;
	}

	get status(): Status {
		return this.#status;
	}

	subscribe(listener: (status: Status) => void): void {
		this.#listeners.push(listener);
	}

	update(change: Partial<Omit<Status, "stage" | "since">>): void {
		this.#set({ ...this.#status, ...change });
	}

	enter(stage: Stage): void {
		if (stage !== this.#status.stage) this.#set({ ...this.#status, stage, since: new Date().toISOString() });
	}

	/**
	 * Sets the condition of that name: fine, or wrong with the error's code, cause and next step. Further errors become
	 * `name-2`, `name-3`, …; what was said under these names before is gone. The first is the last error.
	 */
	condition(name: string, ...errors: readonly SlipwayError[]): void {
		const said = errors.map(
			(e, i): Condition => ({
				name: i === 0 ? name : `${name}-${i + 1}`,
				ok: false,
				code: e.code,
				cause: printable(e.message),
				next: e.next,
			}),
		);
		const fine: Condition = { name, ok: true, code: null, cause: "", next: "" };
		this.#set({
			...this.#status,
			conditions: [...this.#without(name), ...(said.length > 0 ? said : [fine])],
			...(errors[0] === undefined ? {} : { lastError: lastError(errors[0]) }),
		});
	}

	/** Whether the condition of that name tells a fault. */
	isWrong(name: string): boolean {
		return this.#status.conditions.some((c) => c.name === name && !c.ok);
	}

	/** Sets the condition of that name to a warning: told, and no fault. */
	warn(name: string, code: ErrorCode, cause: string): void {
		const { next } = new SlipwayError(code, cause);
		this.#set({ ...this.#status, conditions: [...this.#without(name), { name, ok: true, code, cause, next }] });
	}

	/** Takes the condition of that name away: it is about something that is no more. */
	forget(name: string): void {
		this.update({ conditions: this.#without(name) });
	}

	/** All conditions but what was said under that name, further errors included. */
	#without(name: string): Condition[] {
		const said = new RegExp(`^${name}(-\\d+)?$`);
		return this.#status.conditions.filter((c) => !said.test(c.name));
	}

	/** Sets the state of the bundle with that index digest, if it is shown. */
	markBundle(indexDigest: string, to: BundleStatus["state"]): void {
		this.update({
			bundles: this.#status.bundles.map((b) => (b.indexDigest === indexDigest ? { ...b, state: to } : b)),
		});
	}

	/** Sets the condition of that name to every error in `error` and enters `stage`. */
	fail(name: string, error: unknown, stage: "failed" | "degraded" = "failed"): void {
		this.condition(name, ...slipwayErrors(error));
		this.enter(stage);
	}

	#set(status: Status): void {
		this.#status = status;
		// One that changes it again has told the others already: no one hears of the older state last.
		for (const listener of this.#listeners) listener(this.#status);
	}
}

function lastError({ code, message, next }: SlipwayError): NonNullable<Status["lastError"]> {
	return { code, cause: printable(message), next };
}

/** The errors a person can act on in whatever was thrown; anything else is a defect and becomes E_INTERNAL or E_IO. */
export function slipwayErrors(error: unknown): SlipwayError[] {
	if (error instanceof SlipwayErrors) return error.errors;
	if (error instanceof SlipwayError) return [error];
	const code = (error as NodeJS.ErrnoException | null)?.code;
	const message = error instanceof Error ? error.message : String(error);
	if (code === "ENOSPC" || code === "EDQUOT") return [new SlipwayError("E_NO_SPACE", message, { cause: error })];
	if (code !== undefined && /^E[A-Z0-9]+$/.test(code)) return [new SlipwayError("E_IO", message, { cause: error })];
	return [new SlipwayError("E_INTERNAL", message, { cause: error })];
}
