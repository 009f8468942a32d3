/** One change that takes a piece of safety away, and the test that must notice. */
export interface Mutant {
	/** What the code guards, in a few words. */
	readonly guards: string;
	readonly file: string;
	/** Stands in the file exactly once. */
	readonly find: string;
	readonly put: string;
	readonly test: string;
	/** Part of the test's name; without it every test of that file runs. */
	readonly name?: string;
}
