import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { rootCertificates } from "node:tls";
import { SlipwayError } from "../../../bundle/errors.ts";
import { MAX_MANIFEST } from "../../../bundle/oci.ts";
import { basicHeader, type Credentials, parseChallenge, parseToken } from "../../../bundle/registry-auth.ts";
import { credentialsFor, type RegistryAccess } from "./access.ts";

const TIMEOUT = 30_000;
const MAX_REDIRECTS = 5;

export interface Answer {
	readonly status: number;
	readonly headers: IncomingMessage["headers"];
	readonly body: IncomingMessage;
}

/**
 * A small reading client for what skopeo does not fetch: referrers and artifacts that are no images (OCI distribution-spec 1.1,
 * pull and referrers). HTTPS only. Credentials go to the registry and, over HTTPS, to the token service that it names; never
 * along with a redirect to another host.
 */
export class RegistryClient {
	readonly #host: string;
	readonly #credentials: Credentials | undefined;
	readonly #ca: string[] | undefined;
	#authorization: string | undefined;

	private constructor(host: string, credentials: Credentials | undefined, ca: string[] | undefined) {
		this.#host = host;
		this.#credentials = credentials;
		this.#ca = ca;
	}

	static async open(host: string, access: RegistryAccess): Promise<RegistryClient> {
		const extra = access.caFile === undefined ? undefined : [...rootCertificates, readFileSync(access.caFile, "utf8")];
		return new RegistryClient(host, await credentialsFor(access, host), extra);
	}

	/**
	 * GET below `/v2/`. Answers 200 and 404; the caller must read or destroy the body.
	 * Errors: E_REGISTRY_AUTH, E_REGISTRY_UNREACHABLE for anything else.
	 */
	async get(path: string, accept = "*/*"): Promise<Answer> {
		const host = this.#host === "docker.io" ? "registry-1.docker.io" : this.#host;
		const url = new URL(`/v2/${path}`, `https://${host}`);
		let answer = await this.#follow(url, accept);
		if (answer.status === 401) {
			answer.body.resume();
			await this.#authorize(String(answer.headers["www-authenticate"] ?? ""));
			answer = await this.#follow(url, accept);
		}
		if (answer.status === 200 || answer.status === 404) return answer;
		answer.body.resume();
		const refused = answer.status === 401 || answer.status === 403;
		throw new SlipwayError(
			refused ? "E_REGISTRY_AUTH" : "E_REGISTRY_UNREACHABLE",
			`${this.#host} answered ${answer.status} to GET /v2/${path}.`,
		);
	}

	/** The whole body of a document, at most 4 MiB; undefined for 404. Errors: as `get`, E_LIMIT. */
	async document(path: string, accept?: string): Promise<{ bytes: Buffer; headers: Answer["headers"] } | undefined> {
		const { status, headers, body } = await this.get(path, accept);
		if (status === 404) {
			body.resume();
			return undefined;
		}
		return { bytes: await readAll(body), headers };
	}

	async #follow(url: URL, accept: string, redirects = 0): Promise<Answer> {
		const own =
			url.host === new URL(`https://${this.#host === "docker.io" ? "registry-1.docker.io" : this.#host}`).host;
		const headers = {
			accept,
			...(own && this.#authorization !== undefined ? { authorization: this.#authorization } : {}),
		};
		const answer = await this.#send(url, headers);
		if (![301, 302, 303, 307, 308].includes(answer.status)) return answer;
		answer.body.resume();
		if (redirects === MAX_REDIRECTS) throw this.#unreachable("it redirects without end");
		return await this.#follow(new URL(answer.headers.location ?? "", url), accept, redirects + 1);
	}

	/** Basic, or a bearer token from the service that the registry names. */
	async #authorize(header: string): Promise<void> {
		const challenge = parseChallenge(header);
		const basic = this.#credentials === undefined ? undefined : basicHeader(this.#credentials);
		if (challenge === "basic" && basic !== undefined) {
			this.#authorization = basic;
			return;
		}
		if (!(challenge instanceof URL)) {
			throw new SlipwayError(
				"E_REGISTRY_AUTH",
				`${this.#host} asks for credentials, and REGISTRY_AUTH_FILE has none for it.`,
			);
		}
		const answer = await this.#send(challenge, basic === undefined ? {} : { authorization: basic });
		const body = await readAll(answer.body);
		const token = answer.status === 200 ? parseToken(body) : undefined;
		if (token === undefined)
			throw new SlipwayError(
				"E_REGISTRY_AUTH",
				`${challenge.host} gave no token for ${this.#host} (${answer.status}).`,
			);
		this.#authorization = `Bearer ${token}`;
	}

	#send(url: URL, headers: Record<string, string>): Promise<Answer> {
		if (url.protocol !== "https:") throw this.#unreachable(`it leads to ${url.protocol}//, and only https is used`);
		return new Promise((resolve, reject) => {
			const options = { headers, timeout: TIMEOUT, ...(this.#ca === undefined ? {} : { ca: this.#ca }) };
			const sent = request(url, options, (body) =>
				resolve({ status: body.statusCode ?? 0, headers: body.headers, body }),
			);
			sent.on("timeout", () => sent.destroy(new Error("it did not answer in time")));
			sent.on("error", (error) => reject(this.#unreachable(error.message, error)));
			sent.end();
		});
	}

	#unreachable(why: string, cause?: Error): SlipwayError {
		return new SlipwayError("E_REGISTRY_UNREACHABLE", `The registry ${this.#host} cannot be reached: ${why}.`, {
			cause,
		});
	}
}

async function readAll(body: IncomingMessage): Promise<Buffer> {
	const chunks: Buffer[] = [];
	let size = 0;
	for await (const chunk of body as AsyncIterable<Buffer>) {
		size += chunk.length;
		if (size > MAX_MANIFEST) throw new SlipwayError("E_LIMIT", "A registry's document has more than 4 MiB.");
		chunks.push(chunk);
	}
	return Buffer.concat(chunks);
}
