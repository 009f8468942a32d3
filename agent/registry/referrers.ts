import type { FastifyInstance } from "fastify";
import { MAX_MANIFEST, MEDIA_TYPE } from "../../bundle/oci.ts";
import { linkNext } from "./lists.ts";
import { checkedDigest, type Registry, type Route, repository } from "./lookup.ts";
import type { Referrer } from "./view.ts";

/**
 * What refers to a manifest: signatures, SBOMs, attestations (distribution-spec 1.1, "Listing Referrers"). A subject that
 * nobody refers to, or nobody knows, has an empty list. A list that were a larger index than clients take comes in pages.
 */
export function referrers(app: FastifyInstance, registry: Registry): void {
	app.get<Route>("/v2/:name/referrers/:reference", async (request, reply) => {
		const digest = checkedDigest(request.params.reference);
		const all = repository(registry, request).referrers.get(digest) ?? [];
		const { artifactType: wanted, last } = request.query;
		if (wanted !== undefined) reply.header("oci-filters-applied", "artifactType");
		const rest = all
			.filter((r) => wanted === undefined || [wanted].flat().includes(r.artifactType ?? ""))
			.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
			.filter((r) => last === undefined || r.digest > String(last));
		const manifests = firstPage(rest);
		const end = manifests.at(-1);
		if (end !== undefined && manifests.length < rest.length) {
			const path = `/v2/${request.params.name}/referrers/${digest}`;
			linkNext(reply, path, { ...request.query, last: end.digest });
		}
		const body = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
		// As bytes: to a string the framework would add a charset that is not part of the media type.
		return reply.type(MEDIA_TYPE.ociIndex).send(Buffer.from(JSON.stringify(body)));
	});
}

/** As many as fit into a manifest of the largest size, and at least one. */
function firstPage(list: readonly Referrer[]): Referrer[] {
	let room = MAX_MANIFEST - 1024;
	const beyond = list.findIndex((referrer, i) => {
		room -= Buffer.byteLength(JSON.stringify(referrer)) + 1;
		return room < 0 && i > 0;
	});
	return list.slice(0, beyond < 0 ? list.length : beyond);
}
