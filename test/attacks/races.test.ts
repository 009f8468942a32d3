import { createHash } from "node:crypto";
import { copyFile, mkdir, open, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Agent, startAgent } from "../../agent/agent.ts";
import { run } from "../../builder/tools/run.ts";
import { applianceConfig } from "../../bundle/appliance.ts";
import { signatureName } from "../../bundle/signature-file.ts";
import { readBundle } from "../independent-reader.ts";
import { makeTestBundle, type TestBundle } from "../support/bundles.ts";
import { pick, place, type Serve } from "./family.ts";
import { RACES, SEED } from "./settings.ts";
import { Site } from "./site.ts";
import { within } from "./within.ts";

/**
 * Somebody changes the medium while it is loaded, and somebody else pulls all the while: whatever comes out of the registry
 * is a part of what was signed, and the load ends well, or in a coded error, and does end. RACES of them, 1,000 when not set.
 */

const HANG_MS = 60_000;
const REFS = ["a.example/race/one:1", "a.example/race/two:1"];

let site: Site;
/** The set that a box may hold already, the one on the medium, and what both consist of, by digest. */
let before: TestBundle;
let next: TestBundle;
let truth: ReadonlyMap<string, Buffer>;
const ends = { changed: 0, loaded: 0, refused: 0 };

beforeAll(async () => {
	console.info(`races: FUZZ_SEED=${SEED}, ${RACES} of them`);
	site = await Site.make();
	const bundle = async (seed: string, sequence: number) => {
		const dir = join(site.dir, seed);
		await mkdir(dir);
		const input = { name: "race", arch: "any" as const, sequence };
		return makeTestBundle(dir, { seed, refs: REFS, layers: [150_000, 60_000, 40], input, signer: site.signer });
	};
	[before, next] = [await bundle("before", 1), await bundle("next", 2)];
	truth = new Map([before, next].flatMap((b) => [...readBundle(b.path, site.signer.publicKeyPem).blobs]));
});
afterAll(async () => {
	console.info(`races: ${ends.loaded} sets loaded, ${ends.refused} were refused`);
	await site.remove();
});

/** What is done to a file of the medium; `at` says where in it. */
const CHANGES: Record<string, (path: string, at: number) => Promise<unknown>> = {
	"swapped for the other set's": async (path) => {
		const other = path.endsWith(".zst") ? before.path : path.endsWith(".bin") ? before.sigPath : site.good.path;
		await copyFile(other, `${path}.new`);
		await rename(`${path}.new`, path);
	},
	"swapped for noise": async (path, at) => {
		await writeFile(`${path}.new`, Buffer.alloc((await readFile(path)).length, at & 255));
		await rename(`${path}.new`, path);
	},
	"cut off": async (path, at) => truncate(path, pick(at, (await readFile(path)).length)),
	"one byte written": async (path, at) => {
		const bytes = await readFile(path);
		const from = pick(at, bytes.length);
		await writeAt(path, Buffer.from([bytes[from]! ^ 1]), from);
	},
	"noise written into it": async (path, at) => writeAt(path, Buffer.alloc(20_000, at & 255), pick(at, 400_000)),
	"the other set's bytes written into it": async (path) => writeAt(path, await readFile(before.path), 0),
	removed: (path) => rm(path),
	"a link": async (path) => {
		await rename(path, `${path}.real`);
		await symlink(`${path}.real`, path);
	},
	"a pipe": async (path) => {
		await rm(path);
		await run("mkfifo", [path]);
	},
	"a folder": async (path) => {
		await rm(path);
		await mkdir(path);
	},
};

async function writeAt(path: string, bytes: Buffer, at: number): Promise<void> {
	const fd = await open(path, "r+");
	await fd.write(bytes, 0, bytes.length, at).finally(() => fd.close());
}

const race = fc.record({
	change: fc.constantFrom(...Object.keys(CHANGES)),
	file: fc.constantFrom("bundle", "bundle", "bundle", "signature", "release"),
	at: place,
	/** After so many changes of state, or milliseconds. */
	moment: fc.oneof(fc.record({ changes: fc.nat(30) }), fc.record({ ms: fc.nat(25) })),
	/** Put back afterwards, so many milliseconds later. */
	back: fc.option(fc.nat(10)),
	serve: fc.constantFrom<Serve[]>("store", "in-place"),
	committed: fc.constantFrom(false, false, true),
});
type Race = typeof race extends fc.Arbitrary<infer R> ? R : never;

test(`${RACES} races`, { timeout: 0 }, async () => {
	await fc.assert(fc.asyncProperty(race, runRace), { numRuns: RACES, seed: SEED, endOnFailure: true });
	// Else the moments were all too early or too late, and nothing was shown.
	expect(ends.loaded).toBeGreaterThan(RACES / 20);
	expect(ends.refused).toBeGreaterThan(RACES / 20);
});

async function runRace(race: Race): Promise<void> {
	const store = join(await site.folder(), "store");
	const start = async (bundle: TestBundle, sequence: number) => {
		const content = await site.content([], { sequence, bundles: (await site.payload([bundle.path])).bundles });
		for (const file of [bundle.path, bundle.sigPath]) await copyFile(file, join(content, basename(file)));
		const config = await site.config({ content, store }, race.serve);
		const host = { kernel: { rootId: null, checkMedium: false } };
		return { content, agent: await startAgent(applianceConfig.parse(config), host) };
	};
	const committed = race.committed && race.serve === "store";
	if (committed) {
		const { agent } = await start(before, 1);
		await agent.settled;
		expect(agent.state.status.stage).toBe("ready");
		await agent.stop();
	}
	const { content, agent } = await start(next, 2);
	const codes = new Set<string>();
	agent.state.subscribe(({ conditions }) => {
		for (const { code } of conditions) codes.add(code ?? "");
	});
	const puller = pullAllTheWhile(agent);
	try {
		await Promise.all([within(HANG_MS, agent.settled), disturb(race, content, agent)]);
		await checkEnd(agent, committed, race);
		expect([...codes]).not.toContain("E_INTERNAL");
	} finally {
		await puller.stop();
		await within(HANG_MS, agent.stop());
		await site.sweep();
	}
}

async function disturb({ change, file, at, moment, back }: Race, content: string, agent: Agent): Promise<void> {
	if ("ms" in moment) await setTimeout(moment.ms);
	else await stateChanges(agent, moment.changes);
	const bundle = join(content, basename(next.path));
	const path = { bundle, signature: signatureName(bundle), release: join(content, "release.dsse.json") }[file]!;
	const whole = await readFile(path);
	await CHANGES[change]!(path, at);
	if (back === null) return;
	await setTimeout(back);
	await rm(path, { recursive: true, force: true });
	await writeFile(path, whole);
}

/** Resolves after so many changes of the state, or when there will be no more. */
async function stateChanges(agent: Agent, changes: number): Promise<void> {
	let left = changes;
	await new Promise<void>((resolve) => {
		agent.state.subscribe(() => --left <= 0 && resolve());
		void agent.settled.then(() => resolve());
	});
}

interface Answer {
	readonly status: number;
	readonly whole: boolean;
	readonly bytes: Buffer;
}

/** What is sent for a path, as far as it comes. */
async function get(agent: Agent, path: string): Promise<Answer> {
	const url = new URL(path, agent.state.status.urls.registry!);
	const parts: Uint8Array[] = [];
	try {
		const response = await fetch(url, { signal: AbortSignal.timeout(HANG_MS) });
		try {
			for await (const part of response.body ?? []) parts.push(part);
			return { status: response.status, whole: true, bytes: Buffer.concat(parts) };
		} catch {
			return { status: response.status, whole: false, bytes: Buffer.concat(parts) };
		}
	} catch {
		return { status: 0, whole: false, bytes: Buffer.alloc(0) };
	}
}

/** Asks for a name and all that it leads to; every byte that comes must be one that was signed. Gives whether all came. */
async function pull(agent: Agent, ref: string): Promise<boolean> {
	const [name, tag] = ref.split(":");
	const manifest = await get(agent, `${name}/manifests/${tag}`);
	expect([200, 404, 500, 502, 503, 0]).toContain(manifest.status);
	if (manifest.status !== 200 || !manifest.whole) return false;
	const digest = `sha256:${createHash("sha256").update(manifest.bytes).digest("hex")}`;
	const allowed = [before, next].flatMap((b) => b.names.filter((n) => n.ref === ref).map((n) => n.digest));
	expect(allowed).toContain(digest);
	let all = true;
	const { config, layers } = JSON.parse(manifest.bytes.toString());
	for (const blob of [config, ...layers]) {
		const { status, whole, bytes } = await get(agent, `${name}/blobs/${blob.digest}`);
		if (status === 200) expect(truth.get(blob.digest)!.subarray(0, bytes.length).equals(bytes)).toBe(true);
		if (status === 200 && whole) expect(bytes.length).toBe(blob.size);
		all &&= status === 200 && whole;
	}
	return all;
}

function pullAllTheWhile(agent: Agent): { stop(): Promise<void> } {
	let stopped = false;
	const work = (async () => {
		for (let i = 0; !stopped; i++) {
			await pull(agent, REFS[i % REFS.length]!);
			await setTimeout(2); // the load gets a turn
		}
	})();
	work.catch(() => undefined); // told by stop
	return {
		stop: () => {
			stopped = true;
			return work;
		},
	};
}

/** The old set or the new one, whole, or none; and why. */
async function checkEnd(agent: Agent, committed: boolean, { serve }: Race): Promise<void> {
	const { stage, release, conditions } = agent.state.status;
	const faults = conditions.filter((c) => !c.ok);
	expect(stage).toMatch(/^(ready|degraded|failed|serving|verifying|preflight)$/); // a changed medium may be read again
	const pulled = [await pull(agent, REFS[0]!), await pull(agent, REFS[1]!)];
	if (stage === "ready") {
		ends.loaded++;
		expect(faults).toEqual([]);
		if (serve === "store") expect(pulled).toEqual([true, true]);
	} else if (stage === "failed" || stage === "degraded") {
		ends.refused++;
		expect(faults.length).toBeGreaterThan(0);
		for (const { code, cause, next } of faults) expect([code, cause, next]).not.toContain("");
		if (committed) expect([release?.sequence, ...pulled]).toEqual([1, true, true]);
		if (stage === "failed") expect(pulled).toEqual([false, false]);
	}
}
