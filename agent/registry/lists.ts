import type { FastifyInstance, FastifyReply } from "fastify";
import { RegistryError } from "./errors.ts";
import { present, type Registry, type Route, repository } from "./lookup.ts";

/** The list of tags of a repository, and of repositories (Docker's `_catalog`), in pages of `n` after `last`. */
export function lists(app: FastifyInstance, registry: Registry): void {
	app.get<Route>("/v2/:name/tags/list", async (request, reply) => {
		const tags = [...repository(registry, request).tags.keys()];
		const { name } = request.params;
		return { name, tags: page(tags, request.query, `/v2/${name}/tags/list`, reply) };
	});
	app.get<Route>("/v2/_catalog", async ({ query }, reply) => ({
		repositories: page([...present(registry).keys()], query, "/v2/_catalog", reply),
	}));
}

/**
 * One page in the order that the spec calls lexical: without regard to case, and where only case differs, upper case first.
 * A `Link` header (RFC 5988, rel="next") when there is more. Errors: PAGINATION_NUMBER_INVALID.
 */
function page(items: readonly string[], query: Route["Querystring"], path: string, reply: FastifyReply): string[] {
	const { n, last } = query;
	if (Array.isArray(n) || Array.isArray(last) || (n !== undefined && !/^\d{1,9}$/.test(n))) {
		throw new RegistryError("PAGINATION_NUMBER_INVALID", "n must be a whole number, and n and last be given once.");
	}
	const rest = items.toSorted(lexical).filter((item) => last === undefined || lexical(item, last) > 0);
	const shown = rest.slice(0, n === undefined ? rest.length : Number(n));
	const end = shown.at(-1);
	if (end !== undefined && shown.length < rest.length) linkNext(reply, path, { ...query, last: end });
	return shown;
}

function lexical(a: string, b: string): number {
	const [x, y] = [a.toLowerCase(), b.toLowerCase()];
	if (x !== y) return x < y ? -1 : 1;
	return a < b ? -1 : Number(a > b);
}

/** The page after this one: the same request from another `last` on (RFC 5988). */
export function linkNext(reply: FastifyReply, path: string, query: Route["Querystring"]): void {
	const next = new URLSearchParams();
	for (const [key, values] of Object.entries(query)) for (const value of [values ?? []].flat()) next.append(key, value);
	reply.header("link", `<${path}?${next}>; rel="next"`);
}
