import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LedMap } from "../../bundle/appliance.ts";
import type { Stage, State } from "../status/state.ts";

const SYS_LEDS = "/sys/class/leds";

/**
 * Shows the stage on the machine's lights: each is on, blinks or is off as the map says, changed only when the stage does. One that
 * is not there or cannot be written is told as a warning, `leds`: it is no reason not to be ready. The returned function
 * waits for what is outstanding. What they show once the agent has ended is its unit's business, because it may end in any way.
 */
export async function showOnLeds(state: State, map: LedMap, folder = SYS_LEDS): Promise<() => Promise<void>> {
	let shown: Stage | undefined;
	let last = Promise.resolve();
	const draw = (stage: Stage) => {
		if (stage === shown) return;
		shown = stage;
		last = last.then(() => tell(state, map, stage, folder));
	};
	if (Object.keys(map).length > 0) {
		draw(state.status.stage);
		state.subscribe((status) => draw(status.stage));
	}
	await last;
	return () => last;
}

/** Sets all lights for a stage. Never throws; gives what could not be set. */
async function setLeds(map: LedMap, stage: Stage, folder: string): Promise<string[]> {
	const faults: string[] = [];
	for (const [name, { led, on, blink }] of Object.entries(map)) {
		const how = on.includes(stage) ? "on" : blink.includes(stage) ? "blink" : "off";
		await set(join(folder, led), how).catch((error: NodeJS.ErrnoException) => {
			faults.push(`${name} (${led}): ${error.code ?? error.message}`);
		});
	}
	return faults;
}

async function tell(state: State, map: LedMap, stage: Stage, folder: string): Promise<void> {
	const faults = await setLeds(map, stage, folder);
	if (faults.length > 0) state.warn("leds", "W_LED", `Lights that show nothing: ${faults.join(", ")}.`);
	else if (state.status.conditions.some((c) => c.name === "leds")) state.forget("leds");
}

/** `none` ends what blinked before: a trigger would go on changing the brightness. Files of sysfs are never made, only written. */
async function set(folder: string, how: "on" | "blink" | "off"): Promise<void> {
	const write = (name: string, value: string) => writeFile(join(folder, name), `${value}\n`, { flag: "r+" });
	await write("trigger", how === "blink" ? "timer" : "none");
	if (how === "blink") return;
	const brightest = how === "on" ? (await readFile(join(folder, "max_brightness"), "utf8")).trim() : "0";
	await write("brightness", brightest);
}
