import { expect, test } from "vitest";
import type { Firmware } from "../tools/qemu.ts";
import { rootCheck } from "./check-ready.ts";

test("a root image is as trusted as what started it, no less and no more", () => {
	const right = (boot: "grub" | "uki", firmware: Firmware) =>
		["authenticated", "integrity-checked", "unchecked", undefined].map(
			(said) => rootCheck({ boot }, firmware, said).ok,
		);
	expect(right("uki", "uefi-secureboot")).toEqual([true, false, false, false]);
	for (const [boot, firmware] of [
		["uki", "uefi"],
		["grub", "uefi-secureboot"],
		["grub", "bios"],
	] as const)
		expect(right(boot, firmware)).toEqual([false, true, false, false]);
});
