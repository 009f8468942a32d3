import http, { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import https from "node:https";
import { SlipwayError } from "../../bundle/errors.ts";
import { MAX_MANIFEST } from "../../bundle/oci.ts";
import { Transient } from "./retry.ts";

/** One request. A body of parts has the length that its `content-length` header says. */
export interface Outgoing {
	readonly method: string;
	readonly url: URL;
	readonly headers: Readonly<Record<string, string | number>>;
	readonly body?: Buffer | AsyncIterable<Buffer>;
	/** Longest silence in milliseconds; default one minute. */
	readonly silenceMs?: number;
}

export interface Answer {
	readonly status: number;
	readonly headers: IncomingHttpHeaders;
	/** At most 4 MiB: nothing that is asked for is larger. */
	readonly body: Buffer;
}

const SILENCE_MS = 60_000;

/** Connections to the target and its token service, kept open between requests. */
export class Wire {
	readonly #plain = new http.Agent({ keepAlive: true });
	readonly #secure: https.Agent;
	readonly #signal: AbortSignal;

	/** `ca`: PEM of the authorities that are trusted; default the well-known ones. */
	constructor(ca: string[] | undefined, signal: AbortSignal) {
		this.#secure = new https.Agent({ keepAlive: true, ...(ca === undefined ? {} : { ca }) });
		this.#signal = signal;
	}

	/**
	 * Sends a request and reads the whole answer. Errors: Transient when the connection fails or is cut, E_REGISTRY_UNREACHABLE
	 * for a certificate that is not trusted, what the body throws, and the signal's reason.
	 */
	async send(request: Outgoing): Promise<Answer> {
		try {
			return await this.#exchange(request);
		} catch (error) {
			this.#signal.throwIfAborted();
			if (error instanceof SlipwayError) throw error;
			const { code = "", message } = error as NodeJS.ErrnoException;
			if (/CERT|SIGNATURE|ISSUER/.test(code)) throw untrusted(request.url.host, code);
			throw new Transient(`${request.url.host}: ${message}`, { cause: error });
		}
	}

	close(): void {
		this.#plain.destroy();
		this.#secure.destroy();
	}

	#exchange({ method, url, headers, body, silenceMs = SILENCE_MS }: Outgoing): Promise<Answer> {
		return new Promise((resolve, reject) => {
			const secure = url.protocol === "https:";
			const options = { method, headers, timeout: silenceMs, signal: this.#signal };
			const sent = secure
				? https.request(url, { ...options, agent: this.#secure })
				: http.request(url, { ...options, agent: this.#plain });
			let answered = false;
			sent.on("timeout", () => sent.destroy(new Error(`no answer within ${silenceMs / 1000} s`)));
			sent.on("response", (response) => {
				answered = true;
				readAll(response)
					.then(
						(bytes) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: bytes }),
						reject,
					)
					// An answer before the end of the body means that the rest is not wanted.
					.finally(() => !sent.writableFinished && sent.destroy());
			});
			sent.on("error", reject);
			if (body === undefined || Buffer.isBuffer(body)) sent.end(body);
			else {
				pour(body, sent).catch((error: unknown) => {
					if (answered) return;
					sent.destroy();
					reject(error);
				});
			}
		});
	}
}

/** Sends the parts, each only when the one before has left: its memory may be used again for the next. */
async function pour(parts: AsyncIterable<Buffer>, sent: ClientRequest): Promise<void> {
	const cut = new Promise<never>((_, reject) => sent.once("close", () => reject(new Error("the connection was cut"))));
	cut.catch(() => undefined); // told below, or of no interest any more
	for await (const part of parts) {
		const left = new Promise<void>((resolve, reject) => {
			sent.write(part, (error) => (error ? reject(error) : resolve()));
		});
		await Promise.race([left, cut]);
	}
	sent.end();
}

async function readAll(response: IncomingMessage): Promise<Buffer> {
	const parts: Buffer[] = [];
	let size = 0;
	for await (const part of response as AsyncIterable<Buffer>) {
		size += part.length;
		if (size > MAX_MANIFEST) throw new SlipwayError("E_TARGET_REFUSED", "The target sent a document of over 4 MiB.");
		parts.push(part);
	}
	return Buffer.concat(parts);
}

function untrusted(host: string, code: string): SlipwayError {
	return new SlipwayError("E_REGISTRY_UNREACHABLE", `The certificate of ${host} is not trusted: ${code}.`, {
		next: "Set `registry.ca` to the PEM file of the authority that issued it.",
	});
}
