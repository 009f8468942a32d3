import type { FastifyError, FastifyInstance } from "fastify";
import { SlipwayError } from "../../bundle/errors.ts";

/** Error codes of the distribution spec ("Error Codes") with their HTTP status. */
const STATUS = {
	BLOB_UNKNOWN: 404,
	DIGEST_INVALID: 400,
	MANIFEST_UNKNOWN: 404,
	NAME_INVALID: 400,
	NAME_UNKNOWN: 404,
	PAGINATION_NUMBER_INVALID: 400,
	UNSUPPORTED: 405,
	/** Not in the spec: nothing is verified yet, or a blob turned out damaged. */
	UNAVAILABLE: 503,
} as const;

export class RegistryError extends Error {
	readonly code: keyof typeof STATUS;
	readonly detail: unknown;

	constructor(code: keyof typeof STATUS, message: string, detail?: unknown) {
		super(message);
		this.code = code;
		this.detail = detail;
	}
}

/** Every error leaves as the spec's JSON body; nothing of ours (paths, stacks) is in it. */
export function registryErrors(app: FastifyInstance): void {
	app.setErrorHandler((error: FastifyError | RegistryError | SlipwayError, _request, reply) => {
		const body = (code: string, message: string, detail?: unknown) => ({ errors: [{ code, message, detail }] });
		if (error instanceof RegistryError) {
			const status = STATUS[error.code];
			if (status === 405) reply.header("allow", "GET, HEAD");
			if (status === 503) reply.header("retry-after", "5");
			return reply.code(status).send(body(error.code, error.message, error.detail));
		}
		if (error instanceof SlipwayError) {
			const status = error.code === "E_HOST" ? 421 : 500;
			return reply
				.code(status)
				.send(body(error.code === "E_HOST" ? "DENIED" : "UNKNOWN", error.message, { code: error.code }));
		}
		const status = error.statusCode ?? 500;
		return reply
			.code(status)
			.send(body(status < 500 ? "UNSUPPORTED" : "UNKNOWN", status < 500 ? error.message : "Internal error."));
	});
	app.setNotFoundHandler((_request, reply) =>
		reply.code(404).send({ errors: [{ code: "UNSUPPORTED", message: "There is no such endpoint." }] }),
	);
}
