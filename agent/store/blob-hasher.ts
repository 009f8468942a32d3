import { Worker } from "node:worker_threads";
import { SlipwayError } from "../../bundle/errors.ts";

/** To the thread: hash that file up to `to`; with `finish`, then answer and forget it. */
interface Order {
	readonly file: number;
	readonly fd: number;
	readonly algorithm: string;
	readonly to: number;
	readonly finish: boolean;
}
interface Answer {
	readonly file: number;
	readonly hex?: string;
	readonly error?: string;
}

/**
 * Hashes blobs as they lie in their files, a step behind whoever writes them, on a thread of its own: the thread that answers
 * requests has no time for it, and what is read back is what will be served. One thread for any number of files.
 */
export class BlobHasher {
	#worker: Worker | undefined;
	#files = 0;
	/** Why the thread is gone: it answers nobody any more. */
	#failure: Error | undefined;
	readonly #waiting = new Map<number, { resolve: (hex: string) => void; reject: (error: Error) => void }>();

	/**
	 * `advance`: bytes up to there are written. `end`: that is all; the digest in hex. The descriptor stays open until then.
	 * Errors, of all three, at once: what the thread died of, E_IO.
	 */
	follow(fd: number, algorithm: string): { advance: (to: number) => void; end: () => Promise<string> } {
		const file = ++this.#files;
		let written = 0;
		const order = (finish: boolean) => {
			if (this.#failure !== undefined) throw this.#failure;
			this.#thread().postMessage({ file, fd, algorithm, to: written, finish } satisfies Order);
		};
		return {
			advance: (to) => {
				written = to;
				order(false);
			},
			end: () =>
				new Promise((resolve, reject) => {
					order(true);
					this.#waiting.set(file, { resolve, reject });
				}),
		};
	}

	/** Ends the thread; it reads no descriptor any more. */
	async stop(): Promise<void> {
		await this.#worker?.terminate();
		this.#fail(new Error("the hashing thread was stopped"));
	}

	#thread(): Worker {
		if (this.#worker !== undefined) return this.#worker;
		// The function's own text, so that the thread starts the same way from a .ts file and from the agent's one bundled file.
		const worker = new Worker(`(${hashThread.toString()})()`, { eval: true });
		worker.on("message", ({ file, hex, error }: Answer) => {
			const waiting = this.#waiting.get(file);
			this.#waiting.delete(file);
			if (hex !== undefined) waiting?.resolve(hex);
			else waiting?.reject(new SlipwayError("E_IO", `What was just written cannot be read again: ${error}.`));
		});
		worker.on("error", (error) => this.#fail(error));
		worker.on("exit", () => this.#fail(new Error("the hashing thread ended early")));
		this.#worker = worker;
		return worker;
	}

	#fail(error: Error): void {
		this.#failure ??= new SlipwayError("E_IO", `Blobs cannot be hashed: ${error.message}.`, { cause: error });
		for (const { reject } of this.#waiting.values()) reject(this.#failure);
		this.#waiting.clear();
	}
}

/** Runs in the worker thread, from its text alone: it may use nothing from outside itself. */
function hashThread(): void {
	const { parentPort } = process.getBuiltinModule("node:worker_threads");
	const { readSync } = process.getBuiltinModule("node:fs");
	const { createHash } = process.getBuiltinModule("node:crypto");
	const buffer = Buffer.alloc(1 << 19);
	const files = new Map<number, { hash: ReturnType<typeof createHash>; at: number; error?: string }>();
	parentPort!.on("message", ({ file, fd, algorithm, to, finish }: Order) => {
		const state = files.get(file) ?? { hash: createHash(algorithm), at: 0 };
		files.set(file, state);
		try {
			while (state.at < to && state.error === undefined) {
				const n = readSync(fd, buffer, 0, Math.min(buffer.length, to - state.at), state.at);
				if (n === 0) throw new Error(`the file ends at byte ${state.at} of ${to}`);
				state.hash.update(buffer.subarray(0, n));
				state.at += n;
			}
		} catch (error) {
			state.error ??= (error as Error).message;
		}
		if (!finish) return;
		files.delete(file);
		parentPort!.postMessage(
			state.error === undefined ? { file, hex: state.hash.digest("hex") } : { file, error: state.error },
		);
	});
}
