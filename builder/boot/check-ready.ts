import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Profile } from "../profile/schema.ts";
import type { Firmware } from "../tools/qemu.ts";
import { run } from "../tools/run.ts";
import { check, checkBox } from "./check.ts";
import { checkPulledMedium } from "./medium.ts";
import { insist, pin } from "./pinned.ts";
import { type MachineOptions, type ReadyGuest, say } from "./ready-guest.ts";
import type { BoxStatus, Check } from "./report.ts";
import { readSerial, type SerialView } from "./serial.ts";
import { STRANGE_MS } from "./wait.ts";

interface Looked {
	readonly status: BoxStatus | null;
	/** As the guest saw it; null: it did not say. */
	readonly secureBoot: boolean | null;
	readonly checks: Check[];
}

/**
 * Looks a ready appliance over: from its network where it shows itself there, else what its console says. Once more, if it did not
 * answer because it shows another certificate, of which its console tells at most `patienceMs` later: it makes itself one for each
 * address that it gets. Errors: E_INTERRUPTED.
 */
export async function checkReady(
	machine: MachineOptions,
	ready: ReadyGuest,
	patienceMs: number = STRANGE_MS,
): Promise<Looked> {
	for (let look = 1; ; look++) {
		const before = await readSerial(machine.serialLog);
		const work = join(ready.work, `look-${look}`);
		await mkdir(work);
		const looked = await lookOver(machine, { ...ready, work }, before);
		// The names of what could not be looked at; what was looked at and is wrong stays wrong.
		const refused = looked.checks.some(({ name, ok }) => !ok && (name === "status" || name === "image"));
		if (look === LOOKS || ready.lan === null || !refused) return looked;
		if (!(await tellsAnother(machine, before.tlsSha256, patienceMs))) return looked;
		say("The box shows another certificate, so it is looked over once more.");
	}
}

/** Whether the console tells of another certificate, which it does a moment after the box has shown it. */
async function tellsAnother({ serialLog, signal }: MachineOptions, before: string | undefined, patienceMs: number) {
	for (const until = Date.now() + patienceMs; ; ) {
		if ((await readSerial(serialLog)).tlsSha256 !== before) return true;
		if (Date.now() > until || signal.aborted) return false;
		await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined);
	}
}

const LOOKS = 3;
const PAUSE_MS = 500;

async function lookOver(
	{ release, profile, firmware, media }: MachineOptions,
	{ guest, lan, work }: ReadyGuest,
	serial: SerialView,
): Promise<Looked> {
	if (lan === null) {
		const checks = [check("console", serial.state === "ready", `state=${serial.state}`)];
		checks.push(rootCheck(profile, firmware, serial.root));
		return withSecureBoot(firmware, serial.secureBoot, { status: null, checks });
	}
	const { folder, manifest } = release;
	const tlsSha256 = serial.tlsSha256!;
	// Where that fails, each check says why.
	const status = (await insist(() => pin(lan.status.port, tlsSha256)).catch(() => undefined)) ?? lan.status;
	const registry = { port: lan.registryPort, tlsSha256 };
	const request = { run, folder, manifest, status, registry, work };
	const { status: said, checks } = await checkBox(request);
	checks.push(rootCheck(profile, firmware, said?.boot?.root));
	// A root that is read from the stick would not survive it.
	if (profile.root === "ram" && media === "usb") checks.push(...(await checkPulledMedium({ ...request, guest })));
	return withSecureBoot(firmware, said?.boot?.secureBoot ?? serial.secureBoot, { status: said, checks });
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
