import { type State, slipwayErrors } from "./state.ts";

/** A step has failed and its condition says why: `cause` is what was thrown. */
export class StepFailed extends Error {}

/** A named step: its condition is told whichever way it ends. Errors: StepFailed. */
export async function step<T>(state: State, name: string, work: () => Promise<T>): Promise<T> {
	try {
		const result = await work();
		state.condition(name);
		return result;
	} catch (error) {
		state.condition(name, ...slipwayErrors(error));
		throw new StepFailed(name, { cause: error });
	}
}

/** Whether the content itself was refused, and not this machine at fault: a full disk, a medium that was pulled out. */
export function isRefusal(error: unknown): boolean {
	const cause = error instanceof StepFailed ? error.cause : error;
	return !slipwayErrors(cause).every(({ code }) => ["E_IO", "E_NO_SPACE", "E_MEDIUM_GONE"].includes(code));
}
