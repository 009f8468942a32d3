import type { FastifyInstance } from "fastify";
import { isHeld } from "./conditions.ts";
import { RegistryError } from "./errors.ts";
import { checkedDigest, type Registry, type Route, repository } from "./lookup.ts";

/**
 * GET and HEAD of a manifest by tag or digest (distribution-spec 1.1, "Pulling manifests"). The stored bytes are sent as they
 * are, whatever `Accept` says: another form would have another digest.
 */
export function manifests(app: FastifyInstance, registry: Registry): void {
	app.route<Route>({
		method: ["GET", "HEAD"],
		url: "/v2/:name/manifests/:reference",
		handler: async (request, reply) => {
			const repo = repository(registry, request);
			const { name, reference } = request.params;
			const digest = reference.includes(":") ? checkedDigest(reference) : repo.tags.get(reference);
			const entry = digest === undefined ? undefined : repo.manifests.get(digest);
			if (digest === undefined || entry === undefined) {
				if (repo.absent.has(digest ?? ""))
					throw new RegistryError("MANIFEST_UNKNOWN", "An image index lists it, but the bundles do not carry it.", {
						...{ name, reference, carried: false },
					});
				throw new RegistryError("MANIFEST_UNKNOWN", "There is no such manifest.", { name, reference });
			}
			const etag = `"${digest}"`;
			reply.header("docker-content-digest", digest).header("etag", etag);
			if (isHeld(request.headers["if-none-match"], etag)) return reply.code(304).send();
			reply.type(entry.mediaType).header("content-length", entry.size);
			return request.method === "HEAD" ? reply.send() : reply.send(await registry.blobs.read(digest, entry.size));
		},
	});
}
