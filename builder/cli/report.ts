import { type ErrorCode, SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";

/** What the operating system says, as codes of ours; anything else that is not a SlipwayError is a defect. */
const SYSTEM: Partial<Record<string, ErrorCode>> = {
	ENOSPC: "E_NO_SPACE",
	EDQUOT: "E_NO_SPACE",
	EIO: "E_IO",
	EROFS: "E_IO",
	EACCES: "E_IO",
	EPERM: "E_IO",
	ENOENT: "E_IO",
	EMFILE: "E_IO",
};

/** All errors in something thrown, each once: parts that many profiles share are wrong only once. */
export function errorsIn(thrown: unknown): SlipwayError[] {
	const all =
		thrown instanceof SlipwayErrors ? thrown.errors : [thrown instanceof SlipwayError ? thrown : wrap(thrown)];
	return [...new Map(all.map((error) => [`${placeText(error)}${error.code}${error.message}`, error])).values()];
}

function wrap(thrown: unknown): SlipwayError {
	const { code, message } =
		thrown instanceof Error ? (thrown as NodeJS.ErrnoException) : { code: "", message: String(thrown) };
	const denied = code === "EACCES" || code === "EPERM";
	return new SlipwayError(SYSTEM[code ?? ""] ?? "E_INTERNAL", message, {
		cause: thrown,
		...(denied && { next: 'It belongs to another user, such as root after "make iso": run this with sudo or make.' }),
	});
}

/** `file:line:col: E_CODE: cause`, then `Next: …`, once where several errors in a row have the same way out. */
export function errorText(errors: readonly SlipwayError[], debug: boolean): string {
	const lines = errors.flatMap((error, i) => [
		`${placeText(error)}${error.code}: ${error.message}`,
		...(errors[i + 1]?.next === error.next ? [] : [`  Next: ${error.next}`]),
		...(debug ? [stackOf(error)] : []),
	]);
	return `${lines.join("\n")}\n`;
}

export function errorJson(errors: readonly SlipwayError[]): string {
	const list = errors.map(({ code, message, next, at, exitCode }) => ({
		code,
		message,
		next,
		at: at ?? null,
		exitCode,
	}));
	return `${JSON.stringify({ errors: list }, null, "\t")}\n`;
}

function placeText({ at }: SlipwayError): string {
	return at === undefined ? "" : `${at.file}:${at.line}:${at.col}: `;
}

function stackOf(error: Error): string {
	const inner = error.cause instanceof Error ? `\nCaused by ${stackOf(error.cause)}` : "";
	return `${error.stack ?? error.message}${inner}`;
}
