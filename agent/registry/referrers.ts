import type { FastifyInstance } from "fastify";
import { checkedDigest, type Registry, type Route, repository } from "./lookup.ts";

const INDEX = "application/vnd.oci.image.index.v1+json";

/** What refers to a manifest: signatures, SBOMs, attestations (distribution-spec 1.1, "Listing Referrers"). */
export function referrers(app: FastifyInstance, registry: Registry): void {
	app.get<Route>("/v2/:name/referrers/:reference", async (request, reply) => {
		const digest = checkedDigest(request.params.reference);
		const all = repository(registry, request.params.name, request.query.ns).referrers.get(digest) ?? [];
		const wanted = request.query.artifactType;
		if (wanted !== undefined) reply.header("oci-filters-applied", "artifactType");
		const manifests = wanted === undefined ? all : all.filter((r) => [wanted].flat().includes(r.artifactType ?? ""));
		// As bytes: to a string the framework would add a charset that is not part of the media type.
		return reply.type(INDEX).send(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests })));
	});
}
