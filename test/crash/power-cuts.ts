import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startAgent } from "../../agent/agent.ts";
import { applianceConfig } from "../../bundle/appliance.ts";
import { BlockLog } from "./block-log.ts";
import { type Expected, faultsOf, HAD_NOTHING } from "./check.ts";
import { type FsType, LoggedDisk, mount, unmount } from "./disk.ts";
import { Random } from "./random.ts";
import { type CrashState, planStates, StateBuilder } from "./states.ts";
import { differences, storeContents } from "./store-contents.ts";
import { agentConfig, runWorkload, type Workload } from "./workload.ts";

/** A logged run of the agent: with its log it gives the same states again. */
export interface Run extends Workload {
	readonly fs: FsType;
	readonly seed: number;
	readonly states: number;
	readonly folder: string;
}

export interface Report {
	readonly entries: number;
	readonly prefixes: number;
	readonly reorderings: number;
	readonly reruns: number;
	/** One line for each state that is not as it must be. */
	readonly faults: readonly string[];
}

/** On every state of so many the agent is started again; the other checks are made on each. */
const RERUN_EVERY = 25;

/** Runs the agent through its life on a logged disk in `folder`, an empty folder in memory, and notes what it said when. */
export async function record(folder: string, fs: FsType, seed: number, states: number): Promise<Run> {
	const disk = await LoggedDisk.start(fs, folder);
	const workload = await runWorkload(disk, folder, seed);
	await disk.stop();
	return { fs, seed, states, folder, ...workload };
}

/** Rebuilds the states of a run (or the one of that number), mounts each without a repair by hand, and checks the invariants. */
export async function replay(run: Run, only?: number): Promise<Report> {
	const log = new BlockLog(join(run.folder, "log.img"));
	log.read();
	const states = planStates(log.entries, run.states, new Random(run.seed));
	const builder = new StateBuilder(join(run.folder, "base.img"), log);
	const image = join(run.folder, "state.img");
	const faults: string[] = [];
	let reruns = 0;
	for (const state of states) {
		if (only !== undefined && state.number !== only) continue;
		builder.build(state, image);
		const rerun = state.number % RERUN_EVERY === 0 || state.number === only;
		if (rerun) reruns++;
		const [first, ...more] = await check(run, state, image, rerun);
		if (first !== undefined)
			faults.push(`${describe(run, state)}: ${first}${more.length > 0 ? ` (and ${more.length} more)` : ""}`);
	}
	log.close();
	const reorderings = states.filter((state) => state.lossy).length;
	return { entries: log.entries.length, prefixes: states.length - reorderings, reorderings, reruns, faults };
}

async function check(run: Run, state: CrashState, image: string, rerun: boolean): Promise<string[]> {
	const mountpoint = join(run.folder, "mnt");
	try {
		mount(run.fs, image, mountpoint);
	} catch (error) {
		return [`I8: the file system does not mount: ${String((error as { stderr?: Buffer }).stderr)}`];
	}
	try {
		const faults = faultsOf(join(mountpoint, "store"), expectedAt(run, state.cut));
		return faults.length === 0 && rerun ? await startAgain(run, state.cut) : faults;
	} finally {
		unmount(mountpoint);
	}
}

/** What was acknowledged before the cut must be there; what the test itself has spoilt and nobody has repaired yet need not. */
function expectedAt({ phases, publicKey }: Run, cut: number): Expected {
	const had = phases.findLast((phase) => phase.acknowledged <= cut)?.had ?? HAD_NOTHING;
	const spoilt = phases.find((phase) => phase.damaged && phase.damaged.from <= cut && cut < phase.acknowledged);
	return { publicKey, had, damaged: spoilt?.damaged === undefined ? [] : [spoilt.damaged.digest] };
}

/** I6: with the content that was there at the time of the cut, the agent comes to the store that it came to without the cut. */
async function startAgain(run: Run, cut: number): Promise<string[]> {
	const phase = run.phases.findLast(({ from }) => from <= cut) ?? run.phases[0]!;
	const next = run.phases[run.phases.indexOf(phase) + 1];
	if (next?.damaged && cut >= next.damaged.from) return []; // the test is at work there, not the agent
	const config = applianceConfig.parse(agentConfig(phase.content, run.folder));
	const agent = await startAgent(config, { kernel: { rootId: null, checkMedium: false } });
	await agent.settled;
	await agent.stop();
	const { stage, conditions } = agent.state.status;
	if (stage !== "ready") return [`I6: ${stage}: ${JSON.stringify(conditions.filter((condition) => !condition.ok))}`];
	const other = differences(storeContents(config.store), phase.contents);
	return other.length === 0 ? [] : [`I6: the store is not that of the uncut run: ${other.slice(0, 5).join(", ")}`];
}

function describe({ phases }: Run, { number, cut, epoch, lossy }: CrashState): string {
	const name = phases.findLast(({ from }) => from <= cut)?.name ?? "before the first start";
	return `state ${number} (${name}, cut before entry ${cut}${lossy ? `, writes since ${epoch} lost in part` : ""})`;
}

/** Keeps what a run can be replayed from, on a disk. */
export function keep(run: Run, to: string): void {
	for (const name of ["base.img", "log.img", "content"]) {
		execFileSync("cp", ["--recursive", "--sparse=always", join(run.folder, name), to]);
	}
	writeFileSync(join(to, "run.json"), JSON.stringify(run));
}
