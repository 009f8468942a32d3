import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import type { Trust } from "../../bundle/trust.ts";
import type { BlobSource, Registry } from "../registry/lookup.ts";
import { holds, type View } from "../registry/view.ts";
import type { State } from "../status/state.ts";
import { volume } from "../store/files.ts";
import type { Medium } from "./medium.ts";

/** What the registry shows, and where its bytes come from. */
export interface Shown {
	readonly view: View;
	readonly blobs: BlobSource;
	readonly from: "store" | "medium";
	/** Digest of the content release. */
	readonly release: string;
	/** The keys and the denylist that it was proved with. */
	readonly trust: Trust;
}

/** Whether content is never copied: what is copied into memory would be there twice at best. */
export async function servesInPlace({ serve, store }: Pick<ApplianceConfig, "serve" | "store">): Promise<boolean> {
	return serve === "in-place" || (serve === "auto" && (await volume(store)).kind === "ephemeral");
}

/** What is served at this moment. Whatever changes in it is told to the state at once, so the two cannot disagree. */
export class Serving implements Registry {
	readonly #state: State;
	readonly #onLost: () => void;
	#shown: Shown | undefined;
	#medium: Medium | undefined;
	#proved: Shown | undefined;
	/** Blobs of the view that no source has any more. */
	readonly #missing = new Set<string>();

	/** `onLost` is called when a blob that is shown turned out bad or missing. */
	constructor(state: State, onLost: () => void) {
		this.#state = state;
		this.#onLost = onLost;
	}

	readonly view = () => this.#shown?.view;

	get blobs(): BlobSource {
		if (this.#shown === undefined) throw new SlipwayError("E_INTERNAL", "Nothing is served."); // no view, no blobs
		return this.#shown.blobs;
	}

	get shown(): Shown | undefined {
		return this.#shown;
	}

	/** What is shown, if it is proved as a whole: committed, or served in place and read to its end. */
	get whole(): Shown | undefined {
		return this.#shown?.from === "store" || this.#shown === this.#proved ? this.#shown : undefined;
	}

	/** The bundles of what is shown were read to their ends, and their signatures are right: so no blob of it is missing. */
	proved(): void {
		this.#proved = this.#shown;
		this.show(this.#shown, this.missing);
	}

	get missing(): readonly string[] {
		return [...this.#missing];
	}

	/**
	 * Shows this from now on, or nothing. `found` are blobs missed before that this has again or does not need; not so what is
	 * lost meanwhile.
	 */
	show(shown: Shown | undefined, found: readonly string[] = []): void {
		this.#shown = shown;
		for (const digest of shown === undefined ? this.missing : found) this.#missing.delete(digest);
		if (this.#missing.size === 0) this.#state.condition("blobs");
		this.#tell();
	}

	/** The medium that bytes come from, or none; the one before is closed once nobody reads from it. */
	use(medium: Medium | undefined): void {
		if (medium !== this.#medium) this.#medium?.close();
		this.#medium = medium;
		this.mediumChanged();
	}

	/** The medium went away or came back. */
	mediumChanged(): void {
		const gone = this.#medium?.gone;
		this.#state.condition("medium", ...(gone === undefined ? [] : [gone]));
		this.#tell();
	}

	/** A blob's bytes are wrong or not there. */
	lost(digest: string, error: SlipwayError): void {
		this.lose([{ digest, error }]);
	}

	/** The same of many, told as one. What is not shown is told by the step that reads it. */
	lose(blobs: readonly { readonly digest: string; readonly error: SlipwayError }[]): void {
		const view = this.#shown?.view;
		const lost = blobs.filter(({ digest }) => view !== undefined && holds(view, digest));
		if (lost.length === 0) return;
		for (const { digest } of lost) this.#missing.add(digest);
		this.#state.condition("blobs", lost[0]!.error);
		this.#tell();
		this.#onLost();
	}

	#tell(): void {
		this.#state.update({
			servedFrom: this.#shown?.from ?? null,
			mediumPresent: this.#medium === undefined ? null : this.#medium.gone === undefined,
			missingBlobs: this.#shown === undefined ? null : this.missing,
		});
	}
}
