import { readFile } from "node:fs/promises";
import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import type { TargetAddress } from "./address.ts";
import { Login, readCredentials } from "./login.ts";
import { refusal } from "./refusal.ts";
import { type Pace, retrying, Transient } from "./retry.ts";
import { type Answer, type Outgoing, Wire } from "./wire.ts";

const MAX_REDIRECTS = 5;
const MAX_RETRY_AFTER_MS = 30_000;

export interface Ask {
	readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
	readonly repository: string;
	/** Below the repository, such as `blobs/DIGEST`; or an address that the target gave. */
	readonly at: string | URL;
	/** What the request is for, to follow "refused to". */
	readonly what: string;
	readonly headers?: Outgoing["headers"];
	readonly body?: Outgoing["body"];
	readonly silenceMs?: number;
	/** Another repository that the request reads from. */
	readonly from?: string;
}

/**
 * Speaks to the target: logs in when it asks for it, follows redirects of what reads, tells what may pass from what will not.
 * Nothing secret goes to another host than the target and the token service that the target itself names, nothing goes out in
 * the clear unless the address says http.
 */
export class TargetClient {
	readonly address: TargetAddress;
	readonly pace: Pace;
	readonly signal: AbortSignal;
	readonly #wire: Wire;
	readonly #login: Login;

	private constructor(address: TargetAddress, pace: Pace, signal: AbortSignal, wire: Wire, login: Login) {
		this.address = address;
		this.pace = pace;
		this.signal = signal;
		this.#wire = wire;
		this.#login = login;
	}

	/** Errors: E_REGISTRY_AUTH and E_REGISTRY_UNREACHABLE for files that cannot be used. */
	static async open(
		address: TargetAddress,
		{ credentials, ca }: Pick<ApplianceConfig["registry"], "credentials" | "ca">,
		pace: Pace,
		signal: AbortSignal,
	): Promise<TargetClient> {
		const wire = new Wire(ca === null ? undefined : await readCa(ca), signal);
		const login = new Login(address, await readCredentials(credentials, address.host), wire);
		return new TargetClient(address, pace, signal, wire, login);
	}

	close(): void {
		this.#wire.close();
	}

	/**
	 * Asks until there is an answer that is not Transient; `wanted` are the statuses that the caller knows what to do with.
	 * Errors: E_REGISTRY_UNREACHABLE, E_REGISTRY_AUTH, E_TARGET_REFUSED for any other status.
	 */
	async request(ask: Ask, wanted: readonly number[]): Promise<Answer> {
		const answer = await this.patiently(() => this.once(ask));
		if (wanted.includes(answer.status)) return answer;
		throw refusal(this.address.host, ask.what, answer);
	}

	/** Tries again what fails with Transient, within bounds. Errors: E_REGISTRY_UNREACHABLE, and what else `work` throws. */
	async patiently<T>(work: () => Promise<T>): Promise<T> {
		return await retrying(work, this.pace, this.signal).catch((error: unknown) => {
			this.signal.throwIfAborted();
			throw error instanceof Transient ? this.unreachable(error) : error;
		});
	}

	unreachable({ message }: Transient): SlipwayError {
		return new SlipwayError("E_REGISTRY_UNREACHABLE", `The target does not do what it should: ${message}.`, {
			next: "Check the network, the registry itself and `registry.target`; it is tried again until it answers.",
		});
	}

	/**
	 * One attempt. A body of parts is gone when it fails, even when only a login was missing. Errors: Transient for what may
	 * pass (cut connections, 408, 429, 5xx), E_REGISTRY_AUTH, and those of Wire.send.
	 */
	async once(ask: Ask): Promise<Answer> {
		const scope = [ask.repository, ...(ask.from === undefined ? [] : [ask.from])].join(" ");
		const url = typeof ask.at === "string" ? this.url(ask.repository, ask.at) : ask.at;
		let answer = await this.#follow(ask, url, scope);
		if (answer.status === 401) {
			await this.#login.answer(String(answer.headers["www-authenticate"] ?? ""), scope);
			if (ask.body !== undefined && !Buffer.isBuffer(ask.body)) throw new Transient("the login had run out");
			answer = await this.#follow(ask, url, scope);
		}
		if (![408, 429, 500, 502, 503, 504].includes(answer.status)) return answer;
		const waitMs = Math.min(Number(answer.headers["retry-after"] ?? 0) * 1000 || 0, MAX_RETRY_AFTER_MS);
		throw new Transient(`${this.address.host} answered ${answer.status} when asked to ${ask.what}`, { waitMs });
	}

	url(repository: string, at: string): URL {
		return new URL(`${this.address.origin}/v2/${repository}/${at}`);
	}

	/** The address that a `Location` header gives. Errors: E_TARGET_REFUSED for none, or one that is not as safe. */
	location(answer: Answer, asked: URL): URL {
		const { origin, host } = this.address;
		const location = answer.headers.location ?? "";
		const url = URL.canParse(location, asked.href) ? new URL(location, asked) : undefined;
		if (url === undefined || location === "")
			throw new SlipwayError("E_TARGET_REFUSED", `${host} gave no address to go on at.`);
		if (url.protocol === "https:" || origin.startsWith("http:")) return url;
		// Behind a proxy that does TLS for it, a registry may not know that it is reached with TLS.
		if (url.hostname === new URL(origin).hostname) return new URL(`${url.pathname}${url.search}`, origin);
		throw new SlipwayError("E_TARGET_REFUSED", `${host} leads to ${url.host} without TLS.`);
	}

	async #follow(ask: Ask, url: URL, scope: string, redirects = 0): Promise<Answer> {
		const own = url.origin === this.address.origin;
		const { method, headers, body, silenceMs } = ask;
		const answer = await this.#wire.send({
			method,
			url,
			headers: { ...headers, ...(own ? this.#login.header(scope) : {}) },
			...(body === undefined ? {} : { body }),
			...(silenceMs === undefined ? {} : { silenceMs }),
		});
		// Whoever else asks for a password may be anybody: a challenge is one only from the target itself.
		if (answer.status === 401 && !own) {
			const message = `${url.host}, where ${this.address.host} leads, does not let us ${ask.what} (401).`;
			throw new SlipwayError("E_TARGET_REFUSED", message);
		}
		const reads = method === "GET" || method === "HEAD";
		if (!reads || ![301, 302, 303, 307, 308].includes(answer.status)) return answer;
		if (redirects === MAX_REDIRECTS) throw new Transient(`${url.host} redirects without end`);
		return await this.#follow(ask, this.location(answer, url), scope, redirects + 1);
	}
}

/** The authority in that file, besides the well-known ones, which take a while to load. */
async function readCa(file: string): Promise<string[]> {
	const pem = await readFile(file, "utf8").catch(() => "");
	if (pem.includes("-----BEGIN CERTIFICATE-----")) return [...(await import("node:tls")).rootCertificates, pem];
	throw new SlipwayError("E_REGISTRY_UNREACHABLE", `registry.ca names ${file}, which is no PEM certificate.`, {
		next: "Put the certificate of the target's authority there.",
	});
}
