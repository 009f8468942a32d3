import type { LedMap } from "../../bundle/appliance.ts";

const LEDS = "/sys/class/leds";

/**
 * The agent's drop-in for a machine with lights: before it starts, root gives it these files of sysfs and nothing else there, and
 * loads what makes a light blink. However it ends, the lights show `failed` until it starts again: nothing answers meanwhile. What
 * the machine lacks stops nothing; the agent tells it.
 */
export function ledsDropIn(map: LedMap): string {
	const lights = Object.values(map).map((light) => ({ ...light, folder: `${LEDS}/${light.led}` }));
	const files = lights.flatMap(({ folder }) => [`${folder}/brightness`, `${folder}/trigger`]).join(" ");
	return [
		"[Service]",
		"ExecStartPre=-+/usr/sbin/modprobe ledtrig-timer",
		`ExecStartPre=-+/usr/bin/chgrp --silent slipway ${files}`,
		`ExecStartPre=-+/usr/bin/chmod --silent g+w ${files}`,
		`ReadWritePaths=${lights.map(({ folder }) => `-${folder}`).join(" ")}`,
		...lights.map(({ folder, on, blink }) => {
			const how = on.includes("failed") ? "on" : blink.includes("failed") ? "blink" : "off";
			return `ExecStopPost=-+/bin/sh -c 'cd $$1 && ${SET[how]}' sh ${folder}`;
		}),
		"",
	].join("\n");
}

/** In a light's folder; `none` first, because what blinks would go on changing the brightness. */
const SET = {
	on: "echo none >trigger && cat max_brightness >brightness",
	blink: "echo timer >trigger",
	off: "echo none >trigger && echo 0 >brightness",
};
