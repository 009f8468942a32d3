import type { FastifyInstance } from "fastify";
import { RegistryError } from "./errors.ts";
import { checkedDigest, type Registry, type Route, repository } from "./lookup.ts";

/** GET and HEAD of a manifest by tag or digest (distribution-spec 1.1, "Pulling manifests"). */
export function manifests(app: FastifyInstance, registry: Registry): void {
	app.route<Route>({
		method: ["GET", "HEAD"],
		url: "/v2/:name/manifests/:reference",
		handler: async (request, reply) => {
			const { name, reference } = request.params;
			const repo = repository(registry, name, request.query.ns);
			const digest = reference.includes(":") ? checkedDigest(reference) : repo.tags.get(reference);
			const entry = digest === undefined ? undefined : repo.manifests.get(digest);
			if (digest === undefined || entry === undefined) {
				throw new RegistryError("MANIFEST_UNKNOWN", "There is no such manifest.", { name, reference });
			}
			reply.header("docker-content-digest", digest).header("etag", `"${digest}"`);
			if (request.headers["if-none-match"] === `"${digest}"`) return reply.code(304).send();
			reply.type(entry.mediaType).header("content-length", entry.size);
			return request.method === "HEAD" ? reply.send() : reply.send(await registry.blobs.read(digest, entry.size));
		},
	});
}
