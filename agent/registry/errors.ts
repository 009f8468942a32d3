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
	/** Not in the spec, which names the status only; Docker's registry calls it so. */
	RANGE_INVALID: 416,
	/** Not in the spec: nothing is verified yet, or a blob turned out damaged. */
	UNAVAILABLE: 503,
} as const;

export class RegistryError extends Error {
	readonly code: keyof typeof STATUS;
	readonly detail: unknown;
	readonly headers: Readonly<Record<string, string>>;

	constructor(code: keyof typeof STATUS, message: string, detail?: unknown, headers: Record<string, string> = {}) {
		super(message);
		this.code = code;
		this.detail = detail;
		this.headers = headers;
	}
}

interface Answer {
	readonly code: string;
	readonly message: string;
	readonly detail?: unknown;
	readonly headers?: Readonly<Record<string, string>>;
}

/** Headers that a handler may have set for the answer that now does not come. */
const OF_CONTENT = ["accept-ranges", "content-length", "content-range", "docker-content-digest", "etag"];

function answer(reply: FastifyReply, status: number, error: Answer): FastifyReply {
	const { headers = {}, ...body } = error;
	for (const header of OF_CONTENT) reply.removeHeader(header);
	if (status === 405) reply.header("allow", "GET, HEAD");
	if (status === 503) reply.header("retry-after", "5");
	return reply
		.code(status)
		.headers(headers)
		.type("application/json")
		.send({ errors: [body] });
}

/** Every error leaves as the spec's JSON body; nothing of ours (stacks, say) is in it. */
export function registryErrors(app: FastifyInstance): void {
	app.setErrorHandler((error: FastifyError | RegistryError | SlipwayError, _request, reply) => {
		if (error instanceof RegistryError) {
			const { code, message, detail, headers } = error;
			return answer(reply, STATUS[code], { code, message, detail, headers });
		}
		if (error instanceof SlipwayError) {
			const [status, code] = slipwayStatus(error);
			return answer(reply, status, { code, message: error.message, detail: { code: error.code } });
		}
		const status = error.statusCode ?? 500;
		if (status < 500) return answer(reply, status, { code: "UNSUPPORTED", message: error.message });
		return answer(reply, status, { code: "UNKNOWN", message: "Internal error." });
	});
	app.setNotFoundHandler((_request, reply) =>
		answer(reply, 404, { code: "UNSUPPORTED", message: "There is no such endpoint." }),
	);
}

/** What a source cannot give now, because of damage or a medium that is away, it may give later. */
function slipwayStatus({ code }: SlipwayError): [number, string] {
	if (code === "E_HOST") return [421, "DENIED"];
	if (code === "E_INTERNAL") return [500, "UNKNOWN"];
	return [STATUS.UNAVAILABLE, "UNAVAILABLE"];
}
