import { BUNDLE } from "./bundle.ts";
import type { Mutant } from "./mutant.ts";
import { STORE } from "./store.ts";
import { TRUST } from "./trust.ts";

export const MUTANTS: readonly Mutant[] = [...STORE, ...BUNDLE, ...TRUST];

/** The file's text with the mutant in it. Throws where its text does not stand exactly once. */
export function mutate({ file, find, put }: Mutant, text: string): string {
	const parts = text.split(find);
	if (find === "" || parts.length !== 2) {
		throw new Error(`${file}: ${JSON.stringify(find)} stands there ${parts.length - 1} times; update scripts/mutants`);
	}
	return parts.join(put);
}
