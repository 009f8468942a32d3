import type { FastifyInstance } from "fastify";
import { RegistryError } from "./errors.ts";
import { checkedDigest, type Registry, type Route, repository } from "./lookup.ts";
import { parseRange } from "./range.ts";

/** GET, with ranges, and HEAD of a blob (distribution-spec 1.1, "Pulling blobs"), only in repositories that hold it. */
export function blobs(app: FastifyInstance, registry: Registry): void {
	app.route<Route>({
		method: ["GET", "HEAD"],
		url: "/v2/:name/blobs/:reference",
		handler: async (request, reply) => {
			const digest = checkedDigest(request.params.reference);
			const repo = repository(registry, request.params.name, request.query.ns);
			const size = repo.blobs.get(digest) ?? repo.manifests.get(digest)?.size;
			if (size === undefined) throw new RegistryError("BLOB_UNKNOWN", "There is no such blob here.", { digest });
			reply
				.type("application/octet-stream")
				.header("docker-content-digest", digest)
				.header("etag", `"${digest}"`)
				.header("accept-ranges", "bytes");
			if (request.headers["if-none-match"] === `"${digest}"`) return reply.code(304).send();
			if (request.method === "HEAD") return reply.header("content-length", size).send();
			// A client that holds a part of something else gets the whole (RFC 9110, 13.1.5); a digest never means something else.
			const sameBytes = [undefined, `"${digest}"`].includes(request.headers["if-range"] as string | undefined);
			const range = sameBytes ? parseRange(request.headers.range, size) : undefined;
			if (range === "unsatisfiable") return reply.code(416).header("content-range", `bytes */${size}`).send();
			const { start, end } = range ?? { start: 0, end: size - 1 };
			if (range !== undefined) reply.code(206).header("content-range", `bytes ${start}-${end}/${size}`);
			reply.header("content-length", end - start + 1);
			return reply.send(await registry.blobs.stream(digest, size, start, end));
		},
	});
}
