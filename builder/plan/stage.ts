import type { z } from "zod";
import type { RunOptions, RunResult } from "../tools/run.ts";
import type { Build } from "./build.ts";
import type { Secret, SecretName } from "./secrets.ts";

export const STAGE_NAMES = [
	"workshop",
	"bootstrap",
	"overlay",
	"agent",
	"initrd",
	"root",
	"content",
	"boot",
	"iso",
	"attest",
] as const;
export type StageName = (typeof STAGE_NAMES)[number];

/**
 * One stage is one file in `builder/stages/` (osbuild's rule): its option schema, its inputs, one `run`.
 * A stage's id is the SHA-256 of its name, options, the ids of the stages it reads, and the bytes of the files it names;
 * same id = same output = cache hit.
 */
export interface Stage<O = unknown> {
	readonly name: StageName;
	/** One line for `plan` and the terminal. */
	readonly summary: string;
	/** Everything that changes the output, and nothing else. */
	readonly options: z.ZodType<O>;
	/** Whether a build has this stage; default: every build. Pure. */
	applies?(build: Pick<Build, "profile" | "hostArch">): boolean;
	/** Earlier stages whose output `run` reads; one that the build does not have is left out. */
	readonly inputs: readonly StageName[];
	/** Whether a build's stage reads its `inputs`; default: every build's. One that does not is made beside them. Pure. */
	reads?(build: Pick<Build, "profile">): boolean;
	/** Derives the options from a resolved build. Pure. */
	plan(build: Build): O;
	/** Files and folders of the project whose bytes belong to the id: the stage's own code, overlays, the agent's source. Absolute paths. */
	sources(build: Build): readonly string[];
	/** Secrets that `run` may ask for; it gets no other. */
	readonly secrets?: readonly SecretName[];
	/** Free disk space that the stage wants, in bytes, checked before any work. */
	space(build: Build): number;
	run(context: StageContext<O>): Promise<void>;
}

export interface StageContext<O> {
	readonly build: Build;
	readonly options: O;
	/** Ids of this stage and of all before it. */
	readonly ids: Readonly<Partial<Record<StageName, string>>>;
	/** Output folder of each stage named in `inputs`. Read only. */
	readonly inputs: Readonly<Partial<Record<StageName, string>>>;
	/** Empty folder for the output. It becomes the cache entry by one rename after `run` has returned. */
	readonly out: string;
	/** Scratch folder, removed afterwards whatever happens. */
	readonly work: string;
	readonly signal: AbortSignal;
	/** Path of the stage's log file. */
	readonly logFile: string;
	/** A secret that the stage declares in `secrets`, masked in its log from then on; undefined when the user gave none. */
	secret(name: SecretName): Promise<Secret | undefined>;
	/** `run` of builder/tools with the stage's log, signal and secrets filled in. */
	run(file: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
	/** Writes a line to the stage's log. */
	log(line: string): void;
	/** Tells the terminal how far the work is; units are the stage's own. */
	progress(done: number, total: number): void;
	/** Registers something to undo (a mount, say), run in reverse order after `run` ends, fails or is interrupted. */
	cleanup(undo: () => Promise<void>): void;
}
