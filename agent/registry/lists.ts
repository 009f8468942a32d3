import type { FastifyInstance, FastifyReply } from "fastify";
import { RegistryError } from "./errors.ts";
import { present, type Registry, type Route, repository } from "./lookup.ts";

/** The list of tags of a repository, and of repositories, in lexical order, in pages of `n` after `last`. */
export function lists(app: FastifyInstance, registry: Registry): void {
	app.get<Route>("/v2/:name/tags/list", async (request, reply) => {
		const { name } = request.params;
		const { ns, n, last } = request.query;
		const tags = [...repository(registry, name, ns).tags.keys()];
		return { name, tags: page(tags, { n, last, ns }, `/v2/${name}/tags/list`, reply) };
	});
	app.get<Route>("/v2/_catalog", async (request, reply) => {
		const { n, last } = request.query;
		return { repositories: page([...present(registry).keys()], { n, last }, "/v2/_catalog", reply) };
	});
}

/** One page; a `Link` header (RFC 5988, rel="next") when there is more. Errors: PAGINATION_NUMBER_INVALID. */
function page(
	items: string[],
	query: { n: string | undefined; last: string | undefined; ns?: string | undefined },
	path: string,
	reply: FastifyReply,
): string[] {
	if (query.n !== undefined && !/^\d{1,9}$/.test(query.n)) {
		throw new RegistryError("PAGINATION_NUMBER_INVALID", "n must be a whole number.");
	}
	const after = query.last;
	const rest = items.sort().filter((item) => after === undefined || item > after);
	const count = query.n === undefined ? rest.length : Number(query.n);
	const shown = rest.slice(0, count);
	const end = shown.at(-1);
	if (end !== undefined && shown.length < rest.length) {
		const next = new URLSearchParams({
			n: String(count),
			last: end,
			...(query.ns === undefined ? {} : { ns: query.ns }),
		});
		reply.header("link", `<${path}?${next}>; rel="next"`);
	}
	return shown;
}
