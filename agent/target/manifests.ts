import { createHash } from "node:crypto";
import { parseDigest } from "../../bundle/digest.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import type { TargetClient } from "./client.ts";
import type { Answer } from "./wire.ts";

/** Without all of them a registry may answer with another document than the one that is there. */
const ACCEPT = [MEDIA_TYPE.ociIndex, MEDIA_TYPE.ociManifest, MEDIA_TYPE.dockerList, MEDIA_TYPE.dockerManifest].join(
	", ",
);

interface Document {
	readonly mediaType: string;
	readonly bytes: Buffer;
}

/**
 * Whether the target answers a tag or digest with that manifest. Where it does not say the digest, or says one of another
 * algorithm, the manifest is read and hashed.
 */
export async function answersWith(
	client: TargetClient,
	repository: string,
	reference: string,
	digest: string,
): Promise<boolean> {
	const ask = { repository, at: `manifests/${reference}`, what: `show ${repository}:${reference}` };
	const head = await client.request({ ...ask, method: "HEAD", headers: { accept: ACCEPT } }, [200, 404]);
	if (head.status === 404) return false;
	const said = head.headers["docker-content-digest"];
	const { algorithm, hex } = parseDigest(digest);
	if (typeof said === "string" && said.startsWith(`${algorithm}:`)) return said === digest;
	const { status, body } = await readManifest(client, repository, reference);
	return status === 200 && createHash(algorithm).update(body).digest("hex") === hex;
}

/** A manifest by tag or digest: 200 or 404. */
export function readManifest(client: TargetClient, repository: string, reference: string): Promise<Answer> {
	const ask = { repository, at: `manifests/${reference}`, what: `show ${repository}:${reference}` };
	return client.request({ ...ask, method: "GET", headers: { accept: ACCEPT } }, [200, 404]);
}

/** Puts a manifest under a tag or its digest. Errors: those of TargetClient.request. */
export async function putManifest(
	client: TargetClient,
	repository: string,
	reference: string,
	{ bytes, mediaType }: Document,
): Promise<void> {
	await client.request(putting(repository, reference, { bytes, mediaType }), [201]);
}

/** The request that puts a manifest. */
export function putting(repository: string, reference: string, { bytes, mediaType }: Document) {
	return {
		method: "PUT",
		repository,
		at: `manifests/${reference}`,
		what: `take the manifest ${repository}:${reference}`,
		headers: { "content-type": mediaType, "content-length": bytes.length },
		body: bytes,
	} as const;
}
