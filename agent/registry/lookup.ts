import { parseDigest } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { RegistryError } from "./errors.ts";
import type { Repository, View } from "./view.ts";

/** What the plugins of the registry share: the present view (undefined until a set is verified) and the verified blobs. */
export interface Registry {
	readonly view: () => View | undefined;
	readonly blobs: BlobSource;
}

export interface BlobSource {
	/** All bytes of a small blob, checked against its digest. */
	read(digest: string, size: number): Promise<Buffer>;
	/**
	 * Bytes `start` to `end` (inclusive) in pieces; never completes with bytes that are not the digest's. A piece is valid only
	 * until the next one is asked for, so that a source may use its memory again.
	 */
	stream(digest: string, size: number, start: number, end: number): Promise<AsyncIterable<Buffer>>;
}

/** One route's parameters and query. What a client gives twice comes as a list. */
export interface Route {
	Params: { name: string; reference: string };
	Querystring: Readonly<Record<string, string | string[] | undefined>>;
}

const NAME = /^[a-z0-9]+(?:[._:-][a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const MAX_NAME = 400;

/**
 * The repository's name in the view. Names begin with the original host; containerd, when it is told to use this registry as
 * a mirror, names the host in `ns` and leaves it out of the path: `library/nginx?ns=docker.io`. With `ns`, nothing but that
 * host's names can be meant. Errors: NAME_INVALID.
 */
export function repositoryName(name: string, ns: string | string[] | undefined): string {
	const full = ns === undefined ? name : `${ns}/${name}`;
	if (Array.isArray(ns) || ns?.includes("/") || full.length > MAX_NAME || !NAME.test(full))
		throw new RegistryError("NAME_INVALID", "That is not a repository name.");
	return full;
}

/** The repository that a request means. Errors: NAME_INVALID, NAME_UNKNOWN; UNAVAILABLE while nothing is verified. */
export function repository(
	registry: Registry,
	{ params, query }: { params: Route["Params"]; query: Route["Querystring"] },
): Repository {
	const name = repositoryName(params.name, query.ns);
	const found = present(registry).get(name);
	if (found === undefined) throw new RegistryError("NAME_UNKNOWN", "There is no such repository.", { name });
	return found;
}

/** The present view. Errors: UNAVAILABLE while nothing is verified. */
export function present(registry: Registry): View {
	const view = registry.view();
	if (view === undefined) {
		throw new RegistryError("UNAVAILABLE", "No content has been verified yet; the status endpoint tells why.");
	}
	return view;
}

/** Refuses what is not a digest before it is used for anything. Errors: DIGEST_INVALID. */
export function checkedDigest(text: string): string {
	try {
		parseDigest(text);
		return text;
	} catch (error) {
		if (error instanceof SlipwayError)
			throw new RegistryError("DIGEST_INVALID", "That is not a sha256 or sha512 digest.");
		throw error;
	}
}
