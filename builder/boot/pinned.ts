import { request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { SlipwayError } from "../../bundle/errors.ts";

const SILENCE_MS = 20_000;
const TRIES = 3;
const PAUSE_MS = 1_000;

/** A TLS server on this host's loopback address, known by the certificate that its console named. */
export interface Pinned {
	readonly port: number;
	/** PEM. */
	readonly certificate: string;
}

export interface Answer {
	readonly status: number;
	readonly body: Buffer;
}

/**
 * Fetches the server's certificate and compares it with the fingerprint (SHA-256, hex) that was read on the console, before any
 * request is sent. Undefined while nothing answers. Errors: E_BOOT_CHECK for another certificate.
 */
export async function pin(port: number, sha256: string): Promise<Pinned | undefined> {
	const certificate = await new Promise<{ pem: string; sha256: string } | undefined>((resolve) => {
		// Not trusted here: the comparison below is what decides.
		const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, timeout: SILENCE_MS }, () => {
			const found = socket.getPeerX509Certificate();
			resolve(found && { pem: found.toString(), sha256: found.fingerprint256.replaceAll(":", "").toLowerCase() });
			socket.destroy();
		});
		socket.on("error", () => resolve(undefined));
		socket.on("close", () => resolve(undefined));
		socket.on("timeout", () => socket.destroy());
	});
	if (certificate === undefined) return undefined;
	if (certificate.sha256 === sha256) return { port, certificate: certificate.pem };
	throw new SlipwayError(
		"E_BOOT_CHECK",
		`Port ${port} shows the certificate ${certificate.sha256}, the console said ${sha256}.`,
	);
}

/** GET over TLS with that certificate alone. Undefined when there is no answer. */
export function get({ port, certificate }: Pinned, path: string): Promise<Answer | undefined> {
	return new Promise((resolve) => {
		const call = request(
			{
				host: "127.0.0.1",
				port,
				path,
				ca: certificate,
				// The one certificate is pinned, and it was not made for the forwarded address.
				checkServerIdentity: () => undefined,
				timeout: SILENCE_MS,
				agent: false,
			},
			(response) => {
				const chunks: Buffer[] = [];
				response.on("data", (chunk: Buffer) => chunks.push(chunk));
				response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
				response.on("error", () => resolve(undefined));
			},
		);
		call.on("error", () => resolve(undefined));
		call.on("timeout", () => call.destroy());
		call.end();
	});
}

/** Asks again what was not answered, a few times: an emulated machine stands still when its host does, and cuts off who waited. */
export async function insist<T>(ask: () => Promise<T | undefined>): Promise<T | undefined> {
	for (let left = TRIES - 1; ; left--) {
		const answer = await ask();
		if (answer !== undefined || left === 0) return answer;
		await sleep(PAUSE_MS);
	}
}
