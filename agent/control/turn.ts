import { SlipwayError } from "../../bundle/errors.ts";

/** Lets one piece of work at a time touch the store on somebody's demand. */
export class Turn {
	#running: string | undefined;

	get running(): string | undefined {
		return this.#running;
	}

	/** Errors: E_BUSY with what runs; those of `work`. */
	async take<T>(name: string, work: () => Promise<T>): Promise<T> {
		if (this.#running !== undefined) {
			throw new SlipwayError("E_BUSY", `The agent already runs ${this.#running}.`, { next: "Wait for its end." });
		}
		this.#running = name;
		try {
			return await work();
		} finally {
			this.#running = undefined;
		}
	}
}
