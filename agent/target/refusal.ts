import { SlipwayError } from "../../bundle/errors.ts";
import type { Answer } from "./wire.ts";

/** Error codes of a registry's answer (distribution-spec 1.1, "Error Codes"). Nothing else of a body is ever repeated. */
export function codesOf({ body }: Pick<Answer, "body">): string[] {
	try {
		const { errors } = JSON.parse(body.toString("utf8")) as { errors: { code: unknown }[] };
		return errors.map(({ code }) => String(code)).filter((code) => /^[A-Z_]{1,40}$/.test(code));
	} catch {
		return [];
	}
}

/** What an unwanted answer means: E_REGISTRY_AUTH for 401 and 403, else E_TARGET_REFUSED. */
export function refusal(host: string, what: string, answer: Answer): SlipwayError {
	const said = [answer.status, ...new Set(codesOf(answer))].join(" ");
	if (answer.status === 401 || answer.status === 403) {
		return credentialsError(`${host} does not let us ${what} (${said}).`);
	}
	return new SlipwayError("E_TARGET_REFUSED", `${host} refused to ${what} (${said}).`);
}

export function credentialsError(message: string): SlipwayError {
	return new SlipwayError("E_REGISTRY_AUTH", message, {
		next: "Check the file that `registry.credentials` names, and what its user may do in the target.",
	});
}
