import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeTarget } from "../../test/support/fake-target.ts";
import { type PushScene, pushScene } from "../../test/support/push-scene.ts";
import { settledStage } from "../status/stage.ts";
import { State, type Status } from "../status/state.ts";
import { Delivery } from "./delivery.ts";

let scene: PushScene;
let fake: FakeTarget;
let state: State;
let delivery: Delivery;
let done: number;
const stages: string[] = [];

beforeEach(async () => {
	scene = await pushScene();
	fake = new FakeTarget();
	const target = `${await fake.start()}/mirror`;
	// Only what the stage is computed from.
	const served = { servedFrom: "store", missingBlobs: [], conditions: [], bundles: [], stage: "serving" };
	state = new State({ ...served, target: { url: target, delivered: false } } as unknown as Status);
	done = 0;
	const config = { target, sparse: "refuse" as const, credentials: null, ca: null };
	delivery = new Delivery(config, join(scene.folder, "state"), state, () => void done++, 5);
});
afterEach(async () => {
	await delivery.stop();
	await fake.stop();
	stages.length = 0;
});

const condition = () => state.status.conditions.find((c) => c.name === "target");
const set = (release: string) => ({ view: scene.view, blobs: scene.blobs, release });
const tags = () => [...fake.repositories.values()].reduce((sum, repo) => sum + repo.tags.size, 0);

test("a target that refuses is told, and tried until it does not; ready only then", async () => {
	let refused = 0;
	fake.guard = () => (refused++ < 30 ? { status: 403, headers: {} } : undefined);
	const seen = new Set<string>();
	state.subscribe((status) => seen.add(`${status.conditions[0]?.code} ${settledStage(status)}`));
	delivery.deliver(set("a"));
	expect(condition()).toMatchObject({ ok: true, code: "W_TARGET" });
	await expect.poll(() => done).toBe(1);
	expect(refused).toBeGreaterThan(30);
	expect([...seen]).toEqual(expect.arrayContaining(["W_TARGET serving", "E_REGISTRY_AUTH serving", "null ready"]));
	expect([...seen].filter((line) => line.endsWith("ready"))).toEqual(["null ready"]);
	expect(state.status.target).toMatchObject({ delivered: true });
	// The same set again is no news, another one is.
	delivery.deliver(set("a"));
	expect(state.status.target).toMatchObject({ delivered: true });
	delivery.deliver(set("b"));
	expect([state.status.target?.delivered, settledStage(state.status)]).toEqual([false, "serving"]);
	await expect.poll(() => done).toBe(2);
});

test("a set that is withdrawn is pushed no further", async () => {
	const stopped = new Promise<void>((resolve) => {
		fake.fault = (_method, _path, nth) => {
			if (nth === 20) {
				delivery.deliver(undefined);
				resolve();
			}
			return undefined;
		};
	});
	delivery.deliver(set("a"));
	await stopped;
	await delivery.stop();
	expect([done, tags(), state.status.target?.delivered]).toEqual([0, 0, false]);
});
