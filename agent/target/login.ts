import { readFile } from "node:fs/promises";
import {
	basicHeader,
	type Credentials,
	entryFor,
	parseAuthFile,
	parseChallenge,
	parseToken,
} from "../../bundle/registry-auth.ts";
import type { TargetAddress } from "./address.ts";
import { credentialsError } from "./refusal.ts";
import { Transient } from "./retry.ts";
import type { Wire } from "./wire.ts";

/** The user and password for the target in the credentials file, if it has any. Errors: E_REGISTRY_AUTH. */
export async function readCredentials(file: string | null, host: string): Promise<Credentials | undefined> {
	if (file === null) return undefined;
	const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
		throw credentialsError(`The credentials file ${file} cannot be read: ${error.code}.`);
	});
	const auths = parseAuthFile(text);
	if (auths === undefined) throw credentialsError(`${file} is not in the form of docker's config.json.`);
	return entryFor(auths, host);
}

/**
 * Keeps what is shown to the target: a password, or a token for each scope. Credentials go to the target and to the token
 * service that it names, which may be on any host (many registries have theirs elsewhere), but is asked over HTTPS unless the
 * target itself is reached without.
 */
export class Login {
	readonly #address: TargetAddress;
	readonly #credentials: Credentials | undefined;
	readonly #wire: Wire;
	#basic: string | undefined;
	readonly #tokens = new Map<string, string>();
	readonly #asking = new Map<string, Promise<void>>();

	constructor(address: TargetAddress, credentials: Credentials | undefined, wire: Wire) {
		this.#address = address;
		this.#credentials = credentials;
		this.#wire = wire;
	}

	/** The header for requests of that scope (the repositories they touch); none before the target has asked for one. */
	header(scope: string): { authorization?: string } {
		const authorization = this.#basic ?? this.#tokens.get(scope);
		return authorization === undefined ? {} : { authorization };
	}

	/**
	 * Does what a 401 of the target's own origin asks for, once for all that ask for the same at the same time. Errors:
	 * E_REGISTRY_AUTH when that cannot be done; those of Wire.send.
	 */
	answer(header: string, scope: string): Promise<void> {
		const key = `${scope} ${header}`;
		const asking = this.#asking.get(key) ?? this.#answer(header, scope).finally(() => this.#asking.delete(key));
		this.#asking.set(key, asking);
		return asking;
	}

	async #answer(header: string, scope: string): Promise<void> {
		const { host, origin } = this.#address;
		const challenge = parseChallenge(header);
		const basic = this.#credentials === undefined ? undefined : basicHeader(this.#credentials);
		if (challenge === undefined)
			throw credentialsError(`${host} wants to be logged in to in a way that is not known here.`);
		if (challenge === "basic") {
			if (basic === undefined) throw credentialsError(`${host} asks for credentials, and there are none for it.`);
			this.#basic = basic;
			return;
		}
		if (challenge.protocol !== "https:" && challenge.protocol !== new URL(origin).protocol) {
			throw credentialsError(`${host} names a token service without TLS.`);
		}
		const headers = basic === undefined ? {} : { authorization: basic };
		const answer = await this.#wire.send({ method: "GET", url: challenge, headers });
		if (answer.status === 429 || answer.status >= 500)
			throw new Transient(`${challenge.host} answered ${answer.status}`);
		const token = answer.status === 200 ? parseToken(answer.body) : undefined;
		if (token === undefined) throw credentialsError(`${challenge.host} gave no token for ${host} (${answer.status}).`);
		this.#tokens.set(scope, `Bearer ${token}`);
	}
}
