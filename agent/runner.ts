/** Pause between attempts at what did not help the last time: a dying disk gets no load without end. */
const PAUSE_MS = 30_000;

/** Does one piece of work, never twice at the same time: asked for while it is done, it is done once more afterwards. */
export class Runner {
	readonly #work: () => Promise<void>;
	readonly #isNeeded: () => boolean;
	#running: Promise<void> | undefined;
	#again = false;
	#timer: NodeJS.Timeout | undefined;
	#ended = Number.NEGATIVE_INFINITY;
	#stopped = false;

	/** `work` does not throw. While `isNeeded` says so it is repeated, with pauses. */
	constructor(work: () => Promise<void>, isNeeded: () => boolean) {
		this.#work = work;
		this.#isNeeded = isNeeded;
	}

	get isRunning(): boolean {
		return this.#running !== undefined;
	}

	/** Resolves when the work, or the one under way, has ended. */
	run(): Promise<void> {
		if (this.#stopped) return Promise.resolve();
		if (this.#running !== undefined) {
			this.#again = true;
			return this.#running;
		}
		this.#again = false;
		this.#running = this.#work().finally(() => {
			this.#running = undefined;
			if (this.#stopped) return;
			if (this.#again) void this.run();
			else this.repeat();
		});
		return this.#running;
	}

	/** If it is needed: at once the first time, after the pause when it was repeated lately. */
	repeat(): void {
		if (this.#stopped || this.isRunning || !this.#isNeeded()) return;
		const pause = performance.now() - this.#ended < PAUSE_MS ? PAUSE_MS : 0;
		this.#timer ??= setTimeout(async () => {
			await this.run();
			this.#ended = performance.now();
			this.#timer = undefined;
			this.repeat();
		}, pause);
	}

	/** Nothing starts from now on; resolves when what is under way has ended. */
	async stop(): Promise<void> {
		this.#stopped = true;
		clearTimeout(this.#timer);
		await this.#running;
	}
}
