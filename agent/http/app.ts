import { createServer as createHttp, type Server, type ServerOptions, type ServerResponse } from "node:http";
import { createServer as createHttps, Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import Fastify, { type FastifyInstance } from "fastify";
import { SlipwayError } from "../../bundle/errors.ts";
import type { Certificate } from "../tls/certificate.ts";
import { limitConnections } from "./connections.ts";
import { hostOf } from "./hosts.ts";

export interface AppOptions {
	/** With it the app speaks TLS only. */
	readonly tls: Certificate | undefined;
	/** Hosts that requests may name; asked at each request, because addresses change. */
	readonly hosts: () => readonly string[];
	readonly maxConnections: number;
	/** Turns a path as the client wrote it into one that the routes match. */
	readonly rewriteUrl?: (url: string) => string;
}

/** A client that only connects holds a place for so long. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** No route has a JSON Schema; the compilers for them take longer to load than all of ours. */
const noSchema = () => () => {
	throw new Error("A route has a schema.");
};
const NO_SCHEMAS = { compilersFactory: { buildValidator: noSchema, buildSerializer: noSchema } };

const HTTP_LIMITS: ServerOptions = {
	maxHeaderSize: 8192,
	headersTimeout: 10_000,
	requestTimeout: 10_000,
	keepAliveTimeout: 15_000,
	connectionsCheckingInterval: 2_000,
};

/**
 * An HTTP server with the limits that every endpoint of the agent has: small headers, no bodies to speak of, time-outs, a
 * cap on connections, a quarter of it (at least 8) for one address, and no request for another host's name (DNS rebinding).
 * No CORS headers, ever.
 */
export function createApp(options: AppOptions): FastifyInstance {
	let closeAll = () => {};
	const app: FastifyInstance = Fastify({
		bodyLimit: 64 * 1024,
		schemaController: NO_SCHEMAS,
		forceCloseConnections: true, // an idle client must not hold up the end of the agent
		routerOptions: { maxParamLength: 1024 },
		// What cannot be routed has the same form of answer as any other error.
		frameworkErrors: (error, request, reply) => app.errorHandler(error, request, reply),
		rewriteUrl: (request) => options.rewriteUrl?.(request.url ?? "/") ?? request.url ?? "/",
		clientErrorHandler: (error, socket) => {
			// Whoever has not spoken HTTP, a TLS handshake that timed out say, would never take an answer.
			// And what comes behind a request must not put an answer of its own into that request's, or in its place.
			if (!/^HPE_|^ERR_HTTP_/.test(error.code ?? "") || isAnswering(socket)) return void socket.destroy();
			const status = error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
			if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
		},
		serverFactory: (handler) => {
			const server = options.tls
				? (createHttps(
						{ ...HTTP_LIMITS, handshakeTimeout: HANDSHAKE_TIMEOUT_MS, ...tlsOptions(options.tls) },
						handler,
					) as unknown as Server)
				: createHttp(HTTP_LIMITS, handler);
			server.maxConnections = options.maxConnections;
			closeAll = limitConnections(server, Math.max(8, Math.floor(options.maxConnections / 4)));
			server.setTimeout(60_000); // a client that neither reads nor writes
			return server;
		},
	});
	app.addHook("preClose", async () => closeAll());
	app.addHook("onRequest", async (request, reply) => {
		reply.header("x-content-type-options", "nosniff");
		const host = hostOf(request.headers.host);
		if (host === undefined || !options.hosts().includes(host)) {
			throw new SlipwayError("E_HOST", "The request names another host.");
		}
	});
	return app;
}

/** Whether a request still waits for its answer or a part of it; told by what Node's own handler of such errors looks at. */
function isAnswering(socket: Socket): boolean {
	const { _httpMessage: answer } = socket as Socket & { _httpMessage?: ServerResponse | null };
	return answer !== undefined && answer !== null;
}

function tlsOptions(tls: Certificate) {
	return { key: tls.key, cert: tls.cert, minVersion: "TLSv1.2" } as const;
}

/** Uses another certificate for new connections. */
export function renewTls(app: FastifyInstance, tls: Certificate): void {
	if (app.server instanceof HttpsServer) app.server.setSecureContext(tlsOptions(tls));
}

/**
 * Starts to listen and gives the port. Loopback, or every address: IPv6 and IPv4, or IPv4 alone where IPv6 is off.
 * Errors: E_IO when the port is taken.
 */
export async function listen(app: FastifyInstance, expose: "loopback" | "lan", port: number): Promise<number> {
	const on = (host: string) => app.listen({ host, port });
	try {
		if (expose === "loopback") await on("127.0.0.1");
		else await on("::").catch((error) => (isNoIpv6(error) ? on("0.0.0.0") : Promise.reject(error)));
	} catch (cause) {
		const code = (cause as NodeJS.ErrnoException).code;
		throw new SlipwayError("E_IO", `Cannot listen on port ${port}: ${code}.`, {
			next: "Free the port, or choose another under `network`.",
			cause,
		});
	}
	return (app.server.address() as { port: number }).port;
}

function isNoIpv6(error: NodeJS.ErrnoException): boolean {
	return error.code === "EAFNOSUPPORT" || error.code === "EADDRNOTAVAIL";
}
