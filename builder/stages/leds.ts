import type { LedMap } from "../../bundle/appliance.ts";

/**
 * The agent's drop-in for a machine with lights: before it starts, root gives it these files of sysfs and nothing else there, and
 * loads what makes a light blink. What the machine lacks stops nothing; the agent tells it.
 */
export function ledsDropIn(map: LedMap): string {
	const folders = Object.values(map).map(({ led }) => `/sys/class/leds/${led}`);
	const files = folders.flatMap((folder) => [`${folder}/brightness`, `${folder}/trigger`]).join(" ");
	return [
		"[Service]",
		"ExecStartPre=-+/usr/sbin/modprobe ledtrig-timer",
		`ExecStartPre=-+/usr/bin/chgrp --silent slipway ${files}`,
		`ExecStartPre=-+/usr/bin/chmod --silent g+w ${files}`,
		`ReadWritePaths=${folders.map((folder) => `-${folder}`).join(" ")}`,
		"",
	].join("\n");
}
