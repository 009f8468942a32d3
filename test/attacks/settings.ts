import { setting } from "../support/setting.ts";

/** What FUZZ_RUNS, FUZZ_SEED and RACES say (docs/testing.md). */

/** Cases of all families together. */
export const FUZZ_RUNS = setting("FUZZ_RUNS", 4000);
export const RACES = setting("RACES", 1000);
/** The same seed gives the same cases again. */
export const SEED = setting("FUZZ_SEED", Math.floor(Math.random() * 2 ** 31));
