import { expect, test } from "vitest";
import { SlipwayError, type SlipwayErrors } from "../../bundle/errors.ts";
import { MissingPackages } from "../tools/mmdebstrap.ts";
import { type Askers, placed } from "./missing-packages.ts";

const at = (line: number) => ({ file: "p.yaml", line, col: 1 });
const askers = {
	profile: { packages: ["curl", "gone"], firmware: ["nic"], overlays: ["one", "two"], base: "b" },
	base: { name: "b", firmware: { classes: { nic: { packages: ["fw-nic"] } } } },
	overlays: [{ packages: [] }, { packages: ["agentd"] }],
	origin: new Map([
		["packages.gone", at(1)],
		["firmware.nic", at(2)],
		["overlays.two", at(3)],
		["base", at(4)],
	]),
} as unknown as Askers;

test("each package that the archive lacks for an architecture is told where it is asked for", () => {
	const missing = new MissingPackages(["gone", "fw-nic", "agentd", "udev"], { suite: "s", arch: "arm64" });
	const { errors } = placed(missing, askers) as SlipwayErrors;
	expect(errors.map((e) => [e.code, e.at?.line, e.message])).toEqual([
		["E_PROFILE_VALUE", 3, "The archive of s has no package agentd for arm64, which the overlay two asks for."],
		["E_PROFILE_VALUE", 2, "The archive of s has no package fw-nic for arm64, which the firmware class nic asks for."],
		["E_PROFILE_VALUE", 1, "The archive of s has no package gone for arm64, which the profile asks for."],
		["E_PROFILE_VALUE", 4, "The archive of s has no package udev for arm64, which the base b asks for."],
	]);
	const other = new SlipwayError("E_KEYRING", "x");
	expect(placed(other, askers)).toBe(other);
});
