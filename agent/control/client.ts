import { request } from "node:http";
import { json } from "node:stream/consumers";
import { isErrorCode, SlipwayError } from "../../bundle/errors.ts";
import { CONTROL_HOST, controlPath } from "./socket.ts";

/**
 * Asks the agent that uses the run folder, over its control socket; undefined when none does. There is no time limit: a check
 * takes as long as the store is large. Errors: the agent's own, E_IO.
 */
export async function askAgent(run: string, method: "GET" | "POST", path: string): Promise<unknown> {
	const answer = await send(run, method, path).catch((error: NodeJS.ErrnoException) => {
		if (error.code === "ENOENT" || error.code === "ECONNREFUSED") return undefined;
		throw new SlipwayError("E_IO", `The agent cannot be asked over ${controlPath(run)}: ${error.code}.`, {
			next: "Use the agent's own user, or root.",
			cause: error,
		});
	});
	if (answer === undefined || answer.status < 300) return answer?.body;
	const { code, detail, next } = answer.body as { code?: unknown; detail?: string; next?: string };
	throw new SlipwayError(isErrorCode(code) ? code : "E_IO", detail ?? `The agent answered ${answer.status}.`, {
		...(next === undefined ? {} : { next }),
	});
}

function send(run: string, method: string, path: string): Promise<{ status: number; body: unknown }> {
	return new Promise((resolve, reject) => {
		const question = request(
			{ socketPath: controlPath(run), method, path, headers: { host: CONTROL_HOST }, agent: false },
			(response) => {
				json(response).then((body) => resolve({ status: response.statusCode ?? 500, body }), reject);
			},
		);
		question.once("error", reject);
		question.end();
	});
}
