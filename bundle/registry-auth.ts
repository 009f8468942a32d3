import { z } from "./zod.ts";

/** How OCI registries are logged in to: the pull-secret file, and what a registry's challenge asks for. */

export interface Credentials {
	readonly user: string;
	readonly password: string;
}

const authFile = z.looseObject({
	auths: z
		.record(
			z.string(),
			z.looseObject({ auth: z.string().optional(), username: z.string().optional(), password: z.string().optional() }),
		)
		.default({}),
});

/**
 * Credentials by registry, out of a file as `podman login --authfile` or `docker login` writes it (docker's config.json).
 * Undefined when it is no such file; nothing of what is in it is ever quoted.
 */
export function parseAuthFile(text: string): Record<string, Credentials & { encoded: string }> | undefined {
	let parsed: z.infer<typeof authFile>;
	try {
		parsed = authFile.parse(JSON.parse(text));
	} catch {
		return undefined;
	}
	return Object.fromEntries(
		Object.entries(parsed.auths).flatMap(([host, { auth, username, password }]) => {
			const encoded = auth ?? Buffer.from(`${username ?? ""}:${password ?? ""}`).toString("base64");
			const plain = Buffer.from(encoded, "base64").toString("utf8");
			const colon = plain.indexOf(":");
			return colon < 0 ? [] : [[host, { encoded, user: plain.slice(0, colon), password: plain.slice(colon + 1) }]];
		}),
	);
}

/** The entry for a registry's host, under any of the keys that programs write. */
export function entryFor<T>(auths: Readonly<Record<string, T>>, host: string): T | undefined {
	const keys =
		host === "docker.io" ? ["docker.io", "https://index.docker.io/v1/"] : [host, `https://${host}`, `https://${host}/`];
	return keys.map((key) => auths[key]).find((entry) => entry !== undefined);
}

/** The value of the Authorization header for a user and password (RFC 7617). */
export function basicHeader({ user, password }: Credentials): string {
	return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

/** What a `WWW-Authenticate` header asks for: a password, or a token from the service at this address. */
export type Challenge = "basic" | URL | undefined;

/** Reads a challenge; undefined for any other scheme, or one that cannot be read. */
export function parseChallenge(header: string): Challenge {
	if (/^basic\b/i.test(header)) return "basic";
	const fields = Object.fromEntries(
		[...header.matchAll(/([a-z]+)="([^"]*)"/gi)].map(([, key, value]) => [key?.toLowerCase(), value]),
	);
	if (!/^bearer\b/i.test(header) || fields.realm === undefined || !URL.canParse(fields.realm)) return undefined;
	const url = new URL(fields.realm);
	for (const key of ["service", "scope"]) if (fields[key] !== undefined) url.searchParams.set(key, fields[key]);
	return url;
}

/** The token in a token service's answer; undefined if there is none. */
export function parseToken(body: Uint8Array): string | undefined {
	try {
		const { token, access_token } = JSON.parse(Buffer.from(body).toString("utf8"));
		const found: unknown = token ?? access_token;
		return typeof found === "string" && /^[\x21-\x7e]+$/.test(found) ? found : undefined;
	} catch {
		return undefined;
	}
}
