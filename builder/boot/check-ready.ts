import type { Profile } from "../profile/schema.ts";
import type { Firmware } from "../tools/qemu.ts";
import { run } from "../tools/run.ts";
import { check, checkBox } from "./check.ts";
import { checkPulledMedium } from "./medium.ts";
import type { MachineOptions, ReadyGuest } from "./ready-guest.ts";
import type { BoxStatus, Check } from "./report.ts";
import { readSerial } from "./serial.ts";

interface Looked {
	readonly status: BoxStatus | null;
	/** As the guest saw it; null: it did not say. */
	readonly secureBoot: boolean | null;
	readonly checks: Check[];
}

/**
 * Looks a ready appliance over: from its network where it shows itself there, else what its console says. Errors: E_INTERRUPTED.
 */
export async function checkReady(
	{ release, profile, firmware, media, serialLog }: MachineOptions,
	{ guest, lan, work }: ReadyGuest,
): Promise<Looked> {
	const serial = await readSerial(serialLog);
	if (lan === null) {
		const checks = [check("console", serial.state === "ready", `state=${serial.state}`)];
		checks.push(rootCheck(profile, firmware, serial.root));
		return withSecureBoot(firmware, serial.secureBoot, { status: null, checks });
	}
	const { folder, manifest } = release;
	const registry = { port: lan.registryPort, tlsSha256: serial.tlsSha256! };
	const request = { run, folder, manifest, status: lan.status, registry, work };
	const { status, checks } = await checkBox(request);
	checks.push(rootCheck(profile, firmware, status?.boot?.root));
	// A root that is read from the stick would not survive it.
	if (profile.root === "ram" && media === "usb") checks.push(...(await checkPulledMedium({ ...request, guest })));
	return withSecureBoot(firmware, status?.boot?.secureBoot ?? serial.secureBoot, { status, checks });
}

/** Firmware that checks a unified kernel image has checked its root hash; whoever started anything else has not. */
export function rootCheck({ boot }: Pick<Profile, "boot">, firmware: Firmware, said = "not told"): Check {
	const right = boot === "uki" && firmware === "uefi-secureboot" ? "authenticated" : "integrity-checked";
	return check("root image", said === right, said);
}

/** Secure Boot is on in the firmware that has keys, and in no other. A guest that does not say it is on has not proved it. */
function withSecureBoot(firmware: Firmware, secureBoot: boolean | null, o: Omit<Looked, "secureBoot">): Looked {
	const right = (firmware === "uefi-secureboot") === (secureBoot === true);
	const said = secureBoot === null ? "the guest does not say" : secureBoot ? "on" : "off";
	return { ...o, secureBoot, checks: [...o.checks, check("secure boot", right, said)] };
}
