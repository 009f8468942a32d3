import { SlipwayError } from "../../bundle/errors.ts";

/** Lets one piece of work at a time touch the store on somebody's demand. */
export class Turn {
	#running: { readonly name: string; readonly work: Promise<unknown> } | undefined;

	/** Errors: E_BUSY with what runs; those of `work`. */
	async take<T>(name: string, work: () => Promise<T>): Promise<T> {
		if (this.#running !== undefined) {
			throw new SlipwayError("E_BUSY", `The agent already runs ${this.#running.name}.`, { next: "Wait for its end." });
		}
		const running = { name, work: work() };
		this.#running = running;
		try {
			return await running.work;
		} finally {
			this.#running = undefined;
		}
	}

	/** Resolves when what runs has ended, well or not. */
	async settled(): Promise<void> {
		await this.#running?.work.catch(() => undefined);
	}
}
