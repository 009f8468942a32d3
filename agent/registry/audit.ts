import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { printable } from "../status/printable.ts";
import { type Route, repositoryName } from "./lookup.ts";
import { bytesSent } from "./send.ts";

/** One request for a manifest or a blob, as it ended. Texts that the client chose are printable and cut to a length. */
export interface Pull {
	/** The client's address. */
	readonly from: string;
	readonly agent: string;
	readonly method: string;
	readonly kind: string;
	/** With the original host, also where the client named that in `ns`. */
	readonly name: string;
	readonly reference: string;
	/** Null when the request led to none. */
	readonly digest: string | null;
	readonly status: number;
	/** Of the body. */
	readonly bytes: number;
	/** False: the connection ended before the whole answer was sent. */
	readonly complete: boolean;
}

export interface PullLog {
	/** Must neither throw nor wait. */
	record(pull: Pull): void;
}

const KIND = /^\/v2\/:name\/(manifest|blob)s\/:reference$/;

/** Tells `log` of every request for a manifest or a blob when it has ended, however that was. */
export function auditPulls(app: FastifyInstance, log: PullLog): void {
	app.addHook<Route>("onRequest", async (request, reply) => {
		const kind = KIND.exec(request.routeOptions.url ?? "")?.[1];
		if (kind === undefined) return;
		const from = request.ip.replace(/^::ffff:/, ""); // a closed connection need not know it any more
		reply.raw.once("close", () => log.record(describe(from, kind, request, reply)));
	});
}

function describe(from: string, kind: string, request: FastifyRequest<Route>, reply: FastifyReply): Pull {
	const { raw } = reply;
	const { name, reference } = request.params;
	const complete = raw.writableFinished;
	const digest = reply.getHeader("docker-content-digest");
	const whole = request.method === "HEAD" ? 0 : Number(reply.getHeader("content-length") ?? 0);
	return {
		from,
		agent: cut(request.headers["user-agent"] ?? "", 120),
		method: request.method,
		kind,
		name: cut(nameIn(name, request.query.ns), 255),
		reference: cut(reference, 140),
		digest: typeof digest === "string" ? digest : null,
		status: raw.statusCode,
		bytes: complete ? whole : bytesSent(raw),
		complete,
	};
}

function nameIn(name: string, ns: Route["Querystring"][string]): string {
	try {
		return repositoryName(name, ns);
	} catch {
		return name; // refused as such
	}
}

function cut(text: string, most: number): string {
	return printable(text).slice(0, most);
}
