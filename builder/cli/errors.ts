import { errorTable } from "../../bundle/errors.ts";
import type { CommandContext } from "./command.ts";

export async function errors({ print }: CommandContext): Promise<void> {
	print(
		() =>
			errorTable()
				.map(({ code, exit, meaning, next }) => `${code} (exit ${exit}): ${meaning}.\n  ${next}\n`)
				.join(""),
		() => errorTable(),
	);
}
