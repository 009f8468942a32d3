import { SlipwayError } from "../../bundle/errors.ts";
import type { Build } from "./build.ts";
import { StageCache, type StageKey } from "./cache.ts";
import { canonicalJson, sha256Of } from "./canonical.ts";
import { type BuildRecord, readRecord, reasonToRun } from "./records.ts";
import { SourceHasher } from "./sources.ts";
import type { Stage, StageName } from "./stage.ts";

export interface PlannedStage extends StageKey {
	readonly stage: Stage;
	/** SHA-256, hex. Same id, same output. */
	readonly id: string;
	/** Output folder when it is in the cache. */
	readonly cached: string | undefined;
	/** "cached", or why it must run. */
	readonly reason: string;
}

export interface Plan {
	readonly build: Build;
	readonly stages: readonly PlannedStage[];
	readonly cache: StageCache;
	/** Name of the record that the plan was compared with. */
	readonly record: string;
}

/** Raised when what a stage makes from the same id changes without its sources showing it. */
const CACHE_FORMAT = 1;

/**
 * Computes the id of every stage and looks it up in the cache. Runs nothing, changes nothing but the memory of file digests.
 * Errors: E_INTERNAL when a stage's options do not fit its own schema, or an input does not stand before it.
 */
export async function planBuild(build: Build, stages: readonly Stage[]): Promise<Plan> {
	const cache = new StageCache(build.cacheDir);
	const hasher = new SourceHasher(build.root, build.cacheDir);
	const record = `${build.profile.name}-${build.base.name}`;
	const before: BuildRecord = await readRecord(build.cacheDir, record);
	const ids = new Map<StageName, string>();
	const planned: PlannedStage[] = [];
	for (const stage of stagesOf(build, stages)) {
		const key = await keyOf(stage, build, ids, hasher);
		const id = sha256Of(canonicalJson({ format: CACHE_FORMAT, ...key }));
		const cached = await cache.find(id);
		planned.push({
			...key,
			stage,
			id,
			cached,
			reason: cached === undefined ? reasonToRun({ ...key, id }, before) : "cached",
		});
		ids.set(stage.name, id);
	}
	// Without rights to write, the next run hashes again: slower, not wrong.
	await hasher.save().catch(() => undefined);
	return { build, stages: planned, cache, record };
}

/** The stages that a build has, in order, reading those alone. Pure. */
export function stagesOf(build: Pick<Build, "profile" | "hostArch">, stages: readonly Stage[]): Stage[] {
	const left = stages.filter((stage) => stage.applies?.(build) === false).map((stage) => stage.name);
	const inputsOf = ({ inputs, reads }: Stage) =>
		reads?.(build) === false ? [] : inputs.filter((name) => !left.includes(name));
	return stages.filter(({ name }) => !left.includes(name)).map((stage) => ({ ...stage, inputs: inputsOf(stage) }));
}

async function keyOf(
	stage: Stage,
	build: Build,
	ids: ReadonlyMap<StageName, string>,
	hasher: SourceHasher,
): Promise<StageKey> {
	const options = stage.options.safeParse(stage.plan(build));
	if (!options.success) {
		throw new SlipwayError(
			"E_INTERNAL",
			`The options of stage ${stage.name} do not fit its schema: ${options.error.message}`,
		);
	}
	const inputs = stage.inputs.map((name) => {
		const id = ids.get(name);
		if (id === undefined)
			throw new SlipwayError("E_INTERNAL", `Stage ${stage.name} reads ${name}, which does not stand before it.`);
		return [name, id] as const;
	});
	const sources = await hasher.digests(stage.sources(build));
	return { name: stage.name, options: options.data, inputs: Object.fromEntries(inputs), sources };
}
