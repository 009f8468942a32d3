import type { FastifyInstance } from "fastify";
import type { Registry } from "prom-client";
import { type AppOptions, createApp } from "../http/app.ts";
import type { Certificate } from "../tls/certificate.ts";
import { isReady, verbose } from "./health.ts";
import { PAGE_CSP, page } from "./page.ts";
import { problem, problems } from "./problem.ts";
import type { State } from "./state.ts";

/** The status endpoint: views of the one state object. It only answers questions; there is nothing to change through it. */
export function createStatus(
	state: State,
	certificate: () => Certificate | undefined,
	options: Omit<AppOptions, "rewriteUrl">,
): FastifyInstance {
	const app = createApp(options);
	problems(app);
	app.addHook("onRequest", async (request, reply) => {
		reply
			.header("content-security-policy", "default-src 'none'; frame-ancestors 'none'")
			.header("referrer-policy", "no-referrer")
			.header("cache-control", "no-store");
		if (request.method === "GET" || request.method === "HEAD") return;
		reply.header("allow", "GET, HEAD").header("connection", "close");
		return problem(request, reply, 405, "This endpoint is read-only.");
	});
	app.get("/", async (_request, reply) =>
		reply.header("content-security-policy", PAGE_CSP).type("text/html; charset=utf-8").send(page(state.status)),
	);
	app.get("/v1/status", async () => state.status);
	app.get("/v1/bundles", async () => ({ release: state.status.release, bundles: state.status.bundles }));
	app.get("/livez", async (_request, reply) => reply.type("text/plain").send("ok\n"));
	app.get<{ Querystring: { verbose?: string } }>("/readyz", async (request, reply) => {
		const body =
			request.query.verbose === undefined
				? isReady(state.status)
					? "ok\n"
					: `${state.status.stage}\n`
				: verbose(state.status);
		return reply
			.code(isReady(state.status) ? 200 : 503)
			.type("text/plain")
			.send(body);
	});
	let registry: Registry | undefined;
	app.get("/metrics", async (_request, reply) => {
		registry ??= (await import("./metrics.ts")).metrics(state); // not before somebody asks: a start is quicker without
		return reply.type(registry.contentType).send(await registry.metrics());
	});
	app.get("/v1/certificate", async (request, reply) => {
		const pem = certificate()?.cert;
		if (pem === undefined) return problem(request, reply, 404, "This endpoint does not use TLS.");
		return reply
			.type("application/x-pem-file")
			.header("content-disposition", 'attachment; filename="slipway-certificate.pem"')
			.send(pem);
	});
	return app;
}
