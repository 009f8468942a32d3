import { stat } from "node:fs/promises";
import { join } from "node:path";

const LOOK_MS = 5_000;

/** Looks whether another release was put into the content folder, or one came where none was: a medium was inserted. */
export class ContentWatch {
	readonly #file: string;
	readonly #onOther: () => void;
	readonly #timer: NodeJS.Timeout;
	/** Undefined before the first note: until somebody has looked, nothing is other than what he saw. */
	#seen: string | undefined;

	/** `onOther` is called at a look, every `everyMs`, that finds a release which is another file than the one noted last. */
	constructor(content: string, onOther: () => void, everyMs = LOOK_MS) {
		this.#file = join(content, "release.dsse.json");
		this.#onOther = onOther;
		this.#timer = setInterval(() => void this.#look(), everyMs);
		this.#timer.unref();
	}

	/** Takes what is there now for known. */
	async note(): Promise<void> {
		this.#seen = await this.#identity();
	}

	stop(): void {
		clearInterval(this.#timer);
	}

	async #look(): Promise<void> {
		const now = await this.#identity();
		if (now !== "" && this.#seen !== undefined && now !== this.#seen) this.#onOther();
	}

	async #identity(): Promise<string> {
		const found = await stat(this.#file, { bigint: true }).catch(() => undefined);
		return found === undefined ? "" : [found.dev, found.ino, found.size, found.mtimeNs].join(" ");
	}
}
