import type { FastifyError, FastifyInstance, FastifyReply } from "fastify";
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

/** Headers that a handler may have set for the answer that now does not come. */
const OF_CONTENT = ["accept-ranges", "content-length", "content-range", "docker-content-digest", "etag"];

function answer(reply: FastifyReply, status: number, code: string, message: string, detail?: unknown): FastifyReply {
	for (const header of OF_CONTENT) reply.removeHeader(header);
	if (status === 405) reply.header("allow", "GET, HEAD");
	if (status === 503) reply.header("retry-after", "5");
	return reply
		.code(status)
		.type("application/json")
		.send({ errors: [{ code, message, detail }] });
}

/** Every error leaves as the spec's JSON body; nothing of ours (paths, stacks) is in it. */
export function registryErrors(app: FastifyInstance): void {
	app.setErrorHandler((error: FastifyError | RegistryError | SlipwayError, _request, reply) => {
		if (error instanceof RegistryError)
			return answer(reply, STATUS[error.code], error.code, error.message, error.detail);
		if (error instanceof SlipwayError) {
			const [status, code] = slipwayStatus(error);
			return answer(reply, status, code, error.message, { code: error.code });
		}
		const status = error.statusCode ?? 500;
		if (status < 500) return answer(reply, status, "UNSUPPORTED", error.message);
		return answer(reply, status, "UNKNOWN", "Internal error.");
	});
	app.setNotFoundHandler((_request, reply) => answer(reply, 404, "UNSUPPORTED", "There is no such endpoint."));
}

function slipwayStatus({ code }: SlipwayError): [number, string] {
	if (code === "E_HOST") return [421, "DENIED"];
	// A blob that turned out damaged is loaded again from the medium.
	if (code === "E_DIGEST_MISMATCH") return [STATUS.UNAVAILABLE, "UNAVAILABLE"];
	return [500, "UNKNOWN"];
}
