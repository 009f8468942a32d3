import { SlipwayError } from "../../bundle/errors.ts";
import { type Descriptor, imageIndex, MEDIA_TYPE } from "../../bundle/oci.ts";
import { parseStrictJson } from "../../bundle/strict-json.ts";
import type { Referrer } from "../registry/view.ts";
import type { TargetClient } from "./client.ts";
import { putManifest, readManifest } from "./manifests.ts";
import { Transient } from "./retry.ts";

/** The tag that lists what refers to a digest (distribution-spec 1.1, "Referrers Tag Schema"). */
export function referrersTag(digest: string): string {
	const [algorithm = "", hex = ""] = digest.split(":");
	return `${algorithm.slice(0, 32)}-${hex.slice(0, 64)}`.replace(/[^A-Za-z0-9._-]/g, "-");
}

/**
 * Lets the target list our referrers of a manifest. One with the referrers API does so by itself; for any other the index under
 * the fall-back tag is brought up to date, with all that others have put there. It is read back, since somebody else may have
 * written it at the same moment. Errors: E_TARGET_REFUSED when the tag is something else, and those of TargetClient.request.
 */
export async function listReferrers(
	client: TargetClient,
	repository: string,
	subject: string,
	ours: readonly Referrer[],
): Promise<void> {
	const ask = {
		method: "GET",
		repository,
		at: `referrers/${subject}`,
		what: `list referrers in ${repository}`,
	} as const;
	const { status } = await client.request({ ...ask, headers: { accept: MEDIA_TYPE.ociIndex } }, [200, 404]);
	if (status === 200) return;
	const tag = referrersTag(subject);
	await client.patiently(async () => {
		const listed = await readList(client, repository, tag);
		const missing = ours.filter(({ digest }) => !listed.some((one) => one.digest === digest));
		if (missing.length === 0) return;
		const manifests = [...listed, ...missing];
		const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }));
		await putManifest(client, repository, tag, { bytes, mediaType: MEDIA_TYPE.ociIndex });
		const kept = await readList(client, repository, tag);
		if (missing.every(({ digest }) => kept.some((one) => one.digest === digest))) return;
		throw new Transient(`${repository}:${tag} does not keep what was put there`);
	});
}

async function readList(client: TargetClient, repository: string, tag: string): Promise<Descriptor[]> {
	const { status, body } = await readManifest(client, repository, tag);
	if (status === 404) return [];
	try {
		return imageIndex.parse(parseStrictJson(body)).manifests;
	} catch (cause) {
		// The specification says to fail and to leave it alone.
		throw new SlipwayError("E_TARGET_REFUSED", `${repository}:${tag} in the target is no list of referrers.`, {
			cause,
		});
	}
}
