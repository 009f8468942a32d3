import { type State, slipwayErrors } from "../status/state.ts";

/**
 * Follows the machine's own host names and addresses: `apply` is called with new ones, and again at every look until it
 * succeeds. A failure is the condition `network`; the content that is served is as good as before, so the stage stays.
 */
export class HostWatch {
	readonly #state: State;
	readonly #apply: (hosts: string[]) => Promise<void>;
	#applied: string | undefined;
	#busy = false;

	constructor(hosts: readonly string[], state: State, apply: (hosts: string[]) => Promise<void>) {
		this.#applied = hosts.join();
		this.#state = state;
		this.#apply = apply;
	}

	async look(hosts: string[]): Promise<void> {
		if (this.#busy || hosts.join() === this.#applied) return;
		this.#busy = true;
		this.#applied = undefined; // one that failed counts as changed, even if the old ones come back
		try {
			await this.#apply(hosts);
			this.#applied = hosts.join();
			this.#state.condition("network");
		} catch (error) {
			this.#state.condition("network", ...slipwayErrors(error));
		} finally {
			this.#busy = false;
		}
	}
}
