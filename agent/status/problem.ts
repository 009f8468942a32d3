import { STATUS_CODES } from "node:http";
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type ErrorCode, SlipwayError } from "../../bundle/errors.ts";

/** Errors that say something about the request; any other is the agent's own trouble. */
const STATUS: Partial<Record<ErrorCode, number>> = { E_HOST: 421, E_BUSY: 409, E_USAGE: 400 };

/** Every error of the status endpoint is a problem document (RFC 9457), with our code and next step where there is one. */
export function problems(app: FastifyInstance): void {
	app.setErrorHandler((error: FastifyError | SlipwayError, request, reply) => {
		if (error instanceof SlipwayError) {
			return problem(request, reply, STATUS[error.code] ?? 500, error.message, error);
		}
		const status = error.statusCode ?? 500;
		return problem(request, reply, status, status < 500 ? error.message : "Something unexpected happened.");
	});
	app.setNotFoundHandler((request, reply) => problem(request, reply, 404, "There is no such resource."));
}

export function problem(
	request: FastifyRequest,
	reply: FastifyReply,
	status: number,
	detail: string,
	error?: { readonly code: string; readonly next: string },
): FastifyReply {
	return reply
		.code(status)
		.type("application/problem+json")
		.send(
			JSON.stringify({
				type: error === undefined ? "about:blank" : `urn:slipway:error:${error.code}`,
				title: STATUS_CODES[status],
				status,
				detail,
				instance: request.url,
				...(error === undefined ? {} : { code: error.code, next: error.next }),
			}),
		);
}
