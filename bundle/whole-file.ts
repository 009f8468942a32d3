import { createHash, createVerify } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { SlipwayError } from "./errors.ts";
import type { PublicKey } from "./keys.ts";
import { readExactly } from "./read.ts";

/** Below this a worker's start costs more than it saves. */
const WORKER_FROM = 8 * 1024 * 1024;
const CHUNK = 1024 * 1024;
/** The worker is woken once for so many bytes. */
const STEP = 4 * 1024 * 1024;

export interface WholeFileTask {
	/** Also give the SHA-256 of the file. */
	readonly sha256?: boolean;
	/** Find which of the keys made this signature over the file. */
	readonly signature?: Buffer;
	readonly keys?: readonly PublicKey[];
}

export interface WholeFileHash {
	/** The file may be hashed up to this byte. A writer calls it as bytes land, a reader as it has read them. */
	advance(to: number): void;
	/** Resolves once the whole is hashed: call after the last `advance`, with the final size. */
	result(): Promise<{ sha256: string | undefined; signer: string | undefined }>;
	/** Ends the worker early. Harmless after `result`. */
	stop(): Promise<void>;
}

/**
 * Hashes a file beside whatever else reads or writes it, through the same descriptor, a step behind: the bytes are in the
 * page cache then, so a slow medium is read once. Large files are hashed in a worker thread. `fd` must stay open until
 * `result` or `stop` has settled. Errors (of `result`): E_TRUNCATED, E_IO.
 */
export function hashWholeFile(fd: FileHandle, size: number, task: WholeFileTask): WholeFileHash {
	return size < WORKER_FROM ? hashHere(fd, task) : hashInWorker(fd, task);
}

function hashHere(fd: FileHandle, task: WholeFileTask): WholeFileHash {
	let end = 0;
	return {
		advance: (to) => {
			end = to;
		},
		result: async () => {
			const hash = createHash("sha256");
			const verifiers = (task.keys ?? []).map((key) => ({ key, verify: createVerify("sha256") }));
			for (let at = 0; at < end; at += CHUNK) {
				const chunk = await readExactly(fd, at, Math.min(CHUNK, end - at));
				if (task.sha256 === true) hash.update(chunk);
				for (const { verify } of verifiers) verify.update(chunk);
			}
			const signer = verifiers.find(({ key, verify }) => verify.verify(key.key, task.signature!));
			return { sha256: task.sha256 === true ? hash.digest("hex") : undefined, signer: signer?.key.keyId };
		},
		stop: async () => undefined,
	};
}

interface WorkerInput {
	readonly fd: number;
	readonly sha256: boolean;
	readonly signature: Uint8Array;
	readonly pems: readonly string[];
	readonly chunk: number;
}
/** To the worker: hash up to `to`; with `finish`, then answer. */
interface WorkerOrder {
	readonly to: number;
	readonly finish: boolean;
}
type WorkerAnswer = { sha256: string | undefined; signer: number; error?: string; truncated?: boolean };

function hashInWorker(fd: FileHandle, task: WholeFileTask): WholeFileHash {
	const keys = task.keys ?? [];
	const workerData: WorkerInput = {
		fd: fd.fd,
		sha256: task.sha256 === true,
		signature: task.signature ?? new Uint8Array(),
		pems: keys.map((k) => k.key.export({ format: "pem", type: "spki" }) as string),
		chunk: CHUNK,
	};
	// The function's own text, so that the thread starts the same way from a .ts file and from the agent's one bundled file.
	const worker = new Worker(`(${hashThread.toString()})()`, { eval: true, workerData });
	const answer = new Promise<WorkerAnswer>((resolve, reject) => {
		worker.once("message", resolve);
		worker.once("error", reject);
		worker.once("exit", () => reject(new Error("the hashing thread ended early")));
	});
	answer.catch(() => undefined); // told by result(); stop() may come first
	let end = 0;
	let ordered = 0;
	const order = (message: WorkerOrder) => worker.postMessage(message);
	return {
		advance: (to) => {
			end = to;
			if (to - ordered < STEP) return;
			ordered = to;
			order({ to, finish: false });
		},
		result: async () => {
			order({ to: end, finish: true });
			const { sha256, signer, error, truncated } = await answer;
			await worker.terminate();
			if (error !== undefined)
				throw new SlipwayError(truncated === true ? "E_TRUNCATED" : "E_IO", `Reading the whole file failed: ${error}.`);
			return { sha256, signer: keys[signer]?.keyId };
		},
		stop: async () => {
			await worker.terminate();
		},
	};
}

/** Runs in the worker thread, from its text alone: it may use nothing from outside itself. */
function hashThread(): void {
	const { parentPort, workerData } = process.getBuiltinModule("node:worker_threads");
	const { readSync } = process.getBuiltinModule("node:fs");
	const crypto = process.getBuiltinModule("node:crypto");
	const input = workerData as WorkerInput;
	const hash = crypto.createHash("sha256");
	const verifiers = input.pems.map(() => crypto.createVerify("sha256"));
	const buffer = Buffer.alloc(input.chunk);
	let at = 0;
	parentPort!.on("message", ({ to, finish }: WorkerOrder) => {
		try {
			while (at < to) {
				const n = readSync(input.fd, buffer, 0, Math.min(buffer.length, to - at), at);
				if (n === 0) {
					parentPort!.postMessage({
						sha256: undefined,
						signer: -1,
						error: `it ends at byte ${at}; bytes ${at} to ${to - 1} are missing`,
						truncated: true,
					});
					return;
				}
				const chunk = buffer.subarray(0, n);
				if (input.sha256) hash.update(chunk);
				for (const verify of verifiers) verify.update(chunk);
				at += n;
			}
			if (!finish) return;
			const signer = verifiers.findIndex((verify, i) => verify.verify(input.pems[i]!, input.signature));
			parentPort!.postMessage({ sha256: input.sha256 ? hash.digest("hex") : undefined, signer });
		} catch (error) {
			parentPort!.postMessage({ sha256: undefined, signer: -1, error: (error as Error).message });
		}
	});
}
