import { createHash } from "node:crypto";
import { SlipwayError } from "../../../bundle/errors.ts";
import type { NameRecord } from "../../../bundle/index-schema.ts";
import { type Descriptor, imageIndex, isManifestType, MEDIA_TYPE } from "../../../bundle/oci.ts";
import type { BlobFolder } from "../../oci/blob-folder.ts";
import { type ImportSource, importName, manifestsOf } from "../../oci/import.ts";
import type { RegistryClient } from "./client.ts";

const MAX_PAGES = 100;
const MAX_LEVELS = 4;
const MANIFESTS = [MEDIA_TYPE.ociIndex, MEDIA_TYPE.ociManifest].join(", ");
/** Where cosign keeps what it makes when it does not use referrers. */
const COSIGN = ["sig", "att", "sbom"];

/** Fetches blobs and manifests of one repository through the client. */
export function clientSource(client: RegistryClient, path: string, blobs: BlobFolder): ImportSource {
	return {
		fetch: async (blob) => {
			const kind = isManifestType(blob.mediaType) ? "manifests" : "blobs";
			const accept = kind === "manifests" ? blob.mediaType : "*/*";
			const { status, body } = await client.get(`${path}/${kind}/${blob.digest}`, accept);
			if (status !== 200) {
				body.resume();
				throw new SlipwayError("E_PACK", `The registry has no ${blob.digest} of ${path}, which an image refers to.`);
			}
			await blobs.putStream(body, blob);
		},
		keep: () => true,
	};
}

/**
 * Everything that refers to the manifests of a name: by the referrers API, or by the fallback tag where a registry has no such
 * API, and by cosign's tags. Only "404" means that there is none; any other failure ends the build.
 */
export async function fetchReferrers(
	client: RegistryClient,
	name: NameRecord,
	blobs: BlobFolder,
): Promise<NameRecord[]> {
	const [, host, path] = /^([^/]+)\/(.+?)(?:@[^@]+|:[^:/]+)$/.exec(name.ref)!;
	const source = clientSource(client, path!, blobs);
	const found = new Map<string, NameRecord>();
	let level = [name];
	for (let depth = 0; level.length > 0; depth++) {
		if (depth > MAX_LEVELS)
			throw new SlipwayError("E_LIMIT", `Referrers of ${name.ref} refer to each other more than ${MAX_LEVELS} deep.`);
		const next: NameRecord[] = [];
		const add = async (ref: string, root: Descriptor) => {
			if (found.has(ref)) return;
			const record = await importName(blobs, ref, root, source);
			found.set(ref, record);
			next.push(record);
		};
		for (const { digest } of (await Promise.all(level.map((known) => manifestsOf(blobs, known)))).flat()) {
			for (const referrer of await listReferrers(client, path!, digest)) {
				await add(`${host}/${path}@${referrer.digest}`, referrer);
			}
			for (const kind of COSIGN) {
				const tag = `${digest.replace(":", "-")}.${kind}`;
				const signature = await client.document(`${path}/manifests/${tag}`, MANIFESTS);
				if (signature !== undefined) await add(`${host}/${path}:${tag}`, describe(signature));
			}
		}
		level = next;
	}
	return [...found.values()].sort((a, b) => (a.ref < b.ref ? -1 : 1));
}

async function listReferrers(client: RegistryClient, path: string, digest: string): Promise<Descriptor[]> {
	const found: Descriptor[] = [];
	let next: string | undefined = `${path}/referrers/${digest}`;
	for (let page = 0; next !== undefined; page++) {
		if (page === MAX_PAGES) throw new SlipwayError("E_LIMIT", `There are too many referrers of ${digest}.`);
		const answer = await client.document(next, MEDIA_TYPE.ociIndex);
		if (answer === undefined) return page === 0 ? await fallback(client, path, digest) : found;
		found.push(...parseIndex(answer.bytes, digest));
		const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(answer.headers.link ?? ""))?.[1];
		const url: URL | undefined = link === undefined ? undefined : new URL(link, `https://registry/v2/${next}`);
		next = url === undefined ? undefined : `${url.pathname.replace(/^\/v2\//, "")}${url.search}`;
	}
	return found;
}

async function fallback(client: RegistryClient, path: string, digest: string): Promise<Descriptor[]> {
	const answer = await client.document(`${path}/manifests/${digest.replace(":", "-")}`, MEDIA_TYPE.ociIndex);
	return answer === undefined ? [] : parseIndex(answer.bytes, digest);
}

function parseIndex(bytes: Buffer, digest: string): Descriptor[] {
	try {
		return imageIndex.parse(JSON.parse(bytes.toString("utf8"))).manifests;
	} catch (cause) {
		throw new SlipwayError("E_OCI", `The registry's list of referrers of ${digest} is not valid.`, { cause });
	}
}

/** Descriptor of a document that was asked for by tag. */
function describe({ bytes, headers }: { bytes: Buffer; headers: Record<string, unknown> }): Descriptor {
	const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
	const mediaType = String(headers["content-type"] ?? MEDIA_TYPE.ociManifest).split(";")[0]!;
	return { mediaType, digest, size: bytes.length };
}
