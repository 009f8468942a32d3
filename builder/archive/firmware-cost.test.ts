import { expect, test } from "vitest";
import type { Base, Profile } from "../profile/schema.ts";
import { firmwareCost, firmwareLines } from "./firmware-cost.ts";

const base = {
	firmware: { classes: { fc: { packages: ["qlogic"] }, nic: { packages: ["bnx2", "qlogic"] } } },
} as unknown as Base;
const profile = { firmware: ["nic", "fc"] } as Profile;

test("each class shows its packages with the archive's sizes, and a package of two classes counts once in the sum", () => {
	const cost = firmwareCost(base, profile, { bnx2: 512, qlogic: 2048, other: 9 });
	expect(cost.totalKiB).toBe(2560);
	expect(firmwareLines(cost)).toEqual([
		"Firmware: 2.5 MiB installed",
		"  nic: bnx2 (512 KiB), qlogic (2.0 MiB)",
		"  fc: qlogic (2.0 MiB)",
	]);
});

test("sizes that are not known are not guessed, and no firmware is no line", () => {
	const cost = firmwareCost(base, profile, { bnx2: 512 });
	expect(cost.totalKiB).toBeNull();
	expect(firmwareLines(cost)).toEqual([
		"Firmware: the archive has not been asked what it costs",
		"  nic: bnx2 (512 KiB), qlogic",
		"  fc: qlogic",
	]);
	expect(firmwareLines(firmwareCost(base, { firmware: [] } as unknown as Profile))).toEqual([]);
});
