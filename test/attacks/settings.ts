/** What FUZZ_RUNS, FUZZ_SEED and RACES say (docs/testing.md). */

function setting(name: string, otherwise: number): number {
	const text = process.env[name] ?? "";
	if (text === "") return otherwise;
	if (!/^\d{1,10}$/.test(text)) throw new Error(`${name}=${text} is not a number`);
	return Number(text);
}

/** Cases of all families together. */
export const FUZZ_RUNS = setting("FUZZ_RUNS", 4000);
export const RACES = setting("RACES", 1000);
/** The same seed gives the same cases again. */
export const SEED = setting("FUZZ_SEED", Math.floor(Math.random() * 2 ** 31));
