import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ledMap } from "../../bundle/appliance.ts";
import { tempDir } from "../../test/support/temp.ts";
import { ledsDropIn } from "./leds.ts";

const map = ledMap.parse({
	power: { led: "box:green:1", on: ["ready", "failed"] },
	ready: { led: "box:green:2", on: ["ready"] },
	fault: { led: "box:red:3", blink: ["failed"] },
});

test("whatever ends the agent, the lights show that it failed", async () => {
	const sys = await tempDir();
	for (const { led } of Object.values(map)) {
		await mkdir(join(sys, led));
		for (const [name, value] of Object.entries({ max_brightness: "255", brightness: "255", trigger: "timer" }))
			await writeFile(join(sys, led, name), `${value}\n`);
	}
	const stops = ledsDropIn(map).matchAll(/^ExecStopPost=-\+\/bin\/sh -c '([^']*)' sh (\S+)$/gm);
	// As systemd hands it on: `$$` is a dollar sign.
	for (const [, script, folder] of stops) {
		execFileSync("/bin/sh", ["-c", script!.replaceAll("$$", "$"), "sh", folder!.replace("/sys/class/leds", sys)]);
	}
	const shown = await Promise.all(
		Object.values(map).map(async ({ led }) => {
			const read = async (name: string) => (await readFile(join(sys, led, name), "utf8")).trim();
			return [await read("trigger"), await read("brightness")];
		}),
	);
	expect(shown).toEqual([
		["none", "255"],
		["none", "0"],
		["timer", "255"],
	]);
});

test("the agent may write the files of these lights alone", () => {
	const lines = ledsDropIn(map).split("\n");
	expect(lines.filter((line) => line.startsWith("ReadWritePaths="))).toEqual([
		"ReadWritePaths=-/sys/class/leds/box:green:1 -/sys/class/leds/box:green:2 -/sys/class/leds/box:red:3",
	]);
});
