import type { FastifyInstance } from "fastify";
import { isHeld, rangeCounts } from "./conditions.ts";
import { RegistryError } from "./errors.ts";
import { checkedDigest, type Registry, type Route, repository } from "./lookup.ts";
import { parseRange } from "./range.ts";
import { sendPieces } from "./send.ts";

/** GET, with ranges, and HEAD of a blob (distribution-spec 1.1, "Pulling blobs"), only in repositories that hold it. */
export function blobs(app: FastifyInstance, registry: Registry): void {
	app.route<Route>({
		method: ["GET", "HEAD"],
		url: "/v2/:name/blobs/:reference",
		handler: async (request, reply) => {
			const digest = checkedDigest(request.params.reference);
			const repo = repository(registry, request);
			const size = repo.blobs.get(digest) ?? repo.manifests.get(digest)?.size;
			if (size === undefined) throw new RegistryError("BLOB_UNKNOWN", "There is no such blob here.", { digest });
			const etag = `"${digest}"`;
			const { headers } = request;
			reply.header("docker-content-digest", digest).header("etag", etag).header("accept-ranges", "bytes");
			if (isHeld(headers["if-none-match"], etag)) return reply.code(304).send();
			reply.type("application/octet-stream");
			if (request.method === "HEAD") return reply.header("content-length", size).send();
			const range = rangeCounts(headers["if-range"], etag) ? parseRange(headers.range, size) : undefined;
			if (range === "unsatisfiable") {
				const whole = { "content-range": `bytes */${size}`, "accept-ranges": "bytes" };
				throw new RegistryError("RANGE_INVALID", "The range is beyond the blob's end.", { size }, whole);
			}
			const { start, end } = range ?? { start: 0, end: size - 1 };
			if (range !== undefined) reply.code(206).header("content-range", `bytes ${start}-${end}/${size}`);
			return await sendPieces(reply, await registry.blobs.stream(digest, size, start, end), end - start + 1);
		},
	});
}
