import { access } from "node:fs/promises";
import { join } from "node:path";
import { SlipwayError } from "../../bundle/errors.ts";
import type { ResolvedProfile } from "../profile/resolve.ts";
import { checkBinfmt, checkEmulator } from "../tools/emulator.ts";
import { type Arch, hostArch } from "../tools/host-arch.ts";

/** The pinned Node.js of an architecture, as scripts/bootstrap installs it: that of another one stands apart. Pure. */
export function nodeProgram(root: string, arch: Arch, host: Arch): string {
	const folder = arch === host ? ".tools" : ".tools/foreign";
	return join(root, folder, `node_modules/node-linux-${arch === "arm64" ? "arm64" : "x64"}/bin/node`);
}

/** Purposes of scripts/setup that a build needs on this host. Pure. */
export function setupPurposes(
	{ profile, base }: Pick<ResolvedProfile, "profile" | "base">,
	host = hostArch(),
): string[] {
	if (profile.arch === host) return ["iso"];
	return ["iso", base.foreignInstall === "emulated" ? "emulated" : "foreign"];
}

/**
 * Whether this host can build for the profile's architecture, before any long work.
 * Errors: E_EMULATOR, E_TOOL_MISSING (no Node.js of that architecture).
 */
export async function checkForeign(
	root: string,
	checked: Pick<ResolvedProfile, "profile" | "base">,
	host = hostArch(),
): Promise<void> {
	const { arch } = checked.profile;
	if (arch === host) return;
	await checkEmulator(arch);
	if (checked.base.foreignInstall === "emulated") await checkBinfmt(arch);
	const node = nodeProgram(root, arch, host);
	await access(node).catch((cause) => {
		const next = "Run `scripts/bootstrap foreign`.";
		throw new SlipwayError("E_TOOL_MISSING", `There is no ${node}.`, { cause, next });
	});
}
