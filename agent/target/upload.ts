import type { BlobSource } from "../registry/lookup.ts";
import { BlobReader, type SizedBlob } from "./blob-reader.ts";
import type { Ask, TargetClient } from "./client.ts";
import { refusal } from "./refusal.ts";
import { pause, Transient } from "./retry.ts";
import type { Answer } from "./wire.ts";

/** Slowest that a registry may look through an upload when it ends, bytes in a millisecond. */
const SLOWEST_HASHING = 10_000;
/** How often an upload is begun again because the registry refused what came. */
const MAX_REFUSALS = 2;

/**
 * One upload of one blob (distribution-spec 1.1, "Pushing blobs"): in one request, or in chunks. After a cut it asks how far
 * the registry got and goes on there, or begins again where that is not known any more.
 */
export class BlobUpload {
	readonly #client: TargetClient;
	readonly #repository: string;
	readonly #blob: SizedBlob;
	readonly #reader: BlobReader;
	readonly #onOffset: (offset: number) => void;
	#location: URL | undefined;
	#offset = 0;
	#refusals = 0;

	/** `location`: an upload that the target has begun already. `onOffset`: bytes that the target has; may go back. */
	constructor(
		client: TargetClient,
		repository: string,
		blob: SizedBlob,
		source: BlobSource,
		{ location, onOffset }: { location?: URL | undefined; onOffset: (offset: number) => void },
	) {
		this.#client = client;
		this.#repository = repository;
		this.#blob = blob;
		this.#reader = new BlobReader(source, blob);
		this.#location = location;
		this.#onOffset = onOffset;
	}

	/** Errors: E_REGISTRY_UNREACHABLE after several failures without a byte of progress, E_TARGET_REFUSED, the source's. */
	async run(): Promise<void> {
		const { pace, signal } = this.#client;
		try {
			// Only what no attempt before has reached is progress: an upload that always breaks at one place must end.
			for (let [failures, best] = [0, 0]; ; ) {
				try {
					return await this.#send();
				} catch (error) {
					if (!(error instanceof Transient)) throw error;
					failures = this.#offset > best ? 1 : failures + 1;
					best = Math.max(best, this.#offset); // before it goes back
					if (failures >= pace.tries) throw this.#client.unreachable(error);
					await pause(pace, failures, error, signal);
					if (await hasBlob(this.#client, this.#repository, this.#blob)) return;
					await this.#findOut();
				}
			}
		} finally {
			await this.#reader.close();
		}
	}

	async #send(): Promise<void> {
		const { size, digest } = this.#blob;
		this.#location ??= await this.#begin();
		while (size - this.#offset > this.#client.pace.chunk) {
			const ask = this.#sending("PATCH", this.#location, this.#client.pace.chunk);
			const answer = await this.#client.once(ask);
			if (answer.status !== 202) return this.#refused(ask, answer);
			this.#location = this.#client.location(answer, this.#location);
			const has = received(answer);
			if (has !== this.#offset + this.#client.pace.chunk)
				throw new Transient(`${this.#client.address.host} lost a part of an upload`);
			this.#moveTo(has);
		}
		const url = new URL(this.#location);
		url.searchParams.set("digest", digest);
		const ask = this.#sending("PUT", url, size - this.#offset);
		const answer = await this.#client.once({ ...ask, silenceMs: 60_000 + size / SLOWEST_HASHING });
		if (answer.status !== 201) return this.#refused(ask, answer);
		this.#moveTo(size);
	}

	async #begin(): Promise<URL> {
		this.#moveTo(0);
		const ask = { method: "POST", repository: this.#repository, at: "blobs/uploads/", what: this.#what } as const;
		const answer = await this.#client.request({ ...ask, headers: { "content-length": 0 } }, [202]);
		return this.#client.location(answer, this.#client.url(this.#repository, ask.at));
	}

	#sending(method: "PATCH" | "PUT", at: URL, length: number): Ask {
		const range = { "content-range": `${this.#offset}-${this.#offset + length - 1}` };
		return {
			...{ method, repository: this.#repository, at, what: this.#what },
			headers: {
				"content-type": "application/octet-stream",
				"content-length": length,
				...(length > 0 && (method === "PATCH" || this.#offset > 0) ? range : {}),
			},
			body: this.#reader.take(this.#offset, length),
		};
	}

	/** The registry may have lost the upload, or have it in another state: that is worth another one, a few times. */
	#refused(ask: Ask, answer: Answer): never {
		const error = refusal(this.#client.address.host, ask.what, answer);
		const worthIt = [400, 404, 416].includes(answer.status) && this.#refusals++ < MAX_REFUSALS;
		if (!worthIt) throw error;
		this.#location = answer.status === 416 ? this.#location : undefined;
		throw new Transient(error.message);
	}

	/** Asks how far the upload got. */
	async #findOut(): Promise<void> {
		if (this.#location === undefined) return;
		const ask = { method: "GET", repository: this.#repository, at: this.#location, what: this.#what } as const;
		const answer = await this.#client.patiently(() => this.#client.once(ask));
		const has = answer.status === 204 || answer.status === 202 ? received(answer) : undefined;
		if (has === undefined || has > this.#blob.size) {
			this.#location = undefined;
			return;
		}
		if (answer.headers.location !== undefined) this.#location = this.#client.location(answer, this.#location);
		this.#moveTo(has);
	}

	#moveTo(offset: number): void {
		this.#offset = offset;
		this.#onOffset(offset);
	}

	get #what(): string {
		return `take the blob ${this.#blob.digest} in ${this.#repository}`;
	}
}

/** Whether the target has that blob in that repository, with that size. */
export async function hasBlob(client: TargetClient, repository: string, { digest, size }: SizedBlob): Promise<boolean> {
	const ask = { method: "HEAD", repository, at: `blobs/${digest}`, what: `show a blob of ${repository}` } as const;
	const { status, headers } = await client.request(ask, [200, 404]);
	const said = headers["docker-content-digest"];
	const length = headers["content-length"];
	return status === 200 && (said ?? digest) === digest && Number(length ?? size) === size;
}

/** Bytes that a registry says it has. `0-0` may mean one byte or none, so it means nothing. */
function received({ headers }: Answer): number | undefined {
	const end = Number(/^(?:bytes=)?0-(\d+)$/.exec(String(headers.range ?? ""))?.[1] ?? 0);
	return Number.isSafeInteger(end) && end > 0 ? end + 1 : undefined;
}
