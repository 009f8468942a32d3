import { parseDigest } from "../../bundle/digest.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { RegistryError } from "./errors.ts";
import { findRepository, type Repository, type View } from "./view.ts";

/** What the plugins of the registry share: the present view (undefined until a set is verified) and the verified blobs. */
export interface Registry {
	readonly view: () => View | undefined;
	readonly blobs: BlobSource;
}

export interface BlobSource {
	/** All bytes of a small blob, checked against its digest. */
	read(digest: string, size: number): Promise<Buffer>;
	/** Bytes `start` to `end` (inclusive); never completes with bytes that are not the digest's. */
	stream(digest: string, size: number, start: number, end: number): Promise<NodeJS.ReadableStream>;
}

/** One route's parameters and query: `ns` is containerd's original host. */
export interface Route {
	Params: { name: string; reference: string };
	Querystring: { ns?: string; n?: string; last?: string; artifactType?: string | string[] };
}

const NAME = /^[a-z0-9]+(?:[._:-][a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;

/** The repository that a request means. Errors: NAME_INVALID, NAME_UNKNOWN; UNAVAILABLE while nothing is verified. */
export function repository(registry: Registry, name: string, ns: unknown): Repository {
	if (name.length > 400 || !NAME.test(name)) throw new RegistryError("NAME_INVALID", "That is not a repository name.");
	const found = findRepository(present(registry), name, typeof ns === "string" ? ns : undefined);
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
