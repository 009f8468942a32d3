import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { ledMap } from "../../bundle/appliance.ts";
import { tempDir } from "../../test/support/temp.ts";
import { State, type Status } from "../status/state.ts";
import { showOnLeds } from "./leds.ts";

const map = ledMap.parse({
	power: { led: "box:green:1", on: ["booting", "preflight", "verifying", "serving", "ready", "degraded", "failed"] },
	ready: { led: "box:green:2", on: ["ready"], blink: ["serving"] },
	fault: { led: "box:red:3", on: ["failed"], blink: ["degraded"] },
});
let sys: string;
let state: State;

beforeEach(async () => {
	sys = await tempDir();
	for (const { led } of Object.values(map)) {
		await mkdir(join(sys, led));
		await writeFile(join(sys, led, "max_brightness"), "255\n");
		await writeFile(join(sys, led, "brightness"), "7");
		await writeFile(join(sys, led, "trigger"), "heartbeat");
	}
	state = new State({ stage: "booting", conditions: [] } as unknown as Status);
});

/** `trigger brightness` of each light. A real file keeps the tail of a longer value, sysfs does not. */
async function lights(): Promise<string[]> {
	const read = async (led: string, name: string) => (await readFile(join(sys, led, name), "utf8")).split("\n")[0];
	return Promise.all(
		Object.values(map).map(async ({ led }) => `${await read(led, "trigger")} ${await read(led, "brightness")}`),
	);
}

test("the stage decides each light: on at full brightness, blinking by the kernel's timer, or off", async () => {
	const stop = await showOnLeds(state, map, sys);
	expect(await lights()).toEqual(["none 255", "none 0", "none 0"]);
	state.enter("serving");
	state.enter("ready");
	await stop();
	expect(await lights()).toEqual(["none 255", "none 255", "none 0"]);
	expect(state.status.conditions).toEqual([]);
});

test("a ready box shows it, one that has gone degraded blinks its fault, and a later good stage ends the blinking", async () => {
	await showOnLeds(state, map, sys);
	const settled = async (stage: Status["stage"]) => {
		state.enter(stage);
		return expect.poll(lights);
	};
	await (await settled("ready")).toEqual(["none 255", "none 255", "none 0"]);
	await (await settled("degraded")).toEqual(["none 255", "none 0", "timer 0"]);
	await (await settled("ready")).toEqual(["none 255", "none 255", "none 0"]);
});

test("a light that this machine lacks is told as a warning, the others show the stage, and no file is made", async () => {
	const odd = { ...map, ready: { ...map.ready!, led: "none:such" } };
	await showOnLeds(state, odd, sys);
	expect(state.status.conditions).toEqual([
		expect.objectContaining({ name: "leds", ok: true, code: "W_LED", cause: expect.stringContaining("none:such") }),
	]);
	expect((await lights())[0]).toBe("none 255");
	await expect(readFile(join(sys, "none:such/trigger"))).rejects.toThrow("ENOENT");
});

test("without a map nothing is touched", async () => {
	await (await showOnLeds(state, {}, sys))();
	expect(await lights()).toEqual(Array(3).fill("heartbeat 7"));
});
