import { createHash, getFips } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import type { FipsStatus, Proof } from "../status/state.ts";

/** What the proofs look at; the tests give other answers. */
export interface FipsView {
	kernelFlag(): Promise<string>;
	processMaps(): Promise<string>;
	nodeFips(): number;
	hash(algorithm: string): string;
}

const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const THIS_PROCESS: FipsView = {
	kernelFlag: () => readFile("/proc/sys/crypto/fips_enabled", "utf8").catch(() => "0"),
	processMaps: () => readFile("/proc/self/maps", "utf8"),
	nodeFips: getFips,
	hash: (algorithm) => createHash(algorithm).update("").digest("hex"),
};

/**
 * The three proofs of FIPS mode (DESIGN section 7): what the build recorded, what the kernel says, and a self-test of this
 * process. getFips() alone proves nothing: it only reports a query string, so the provider must also be mapped, an approved
 * hash must work and an unapproved one must be refused.
 */
export async function fipsStatus(
	config: Pick<ApplianceConfig, "fips" | "fipsModule">,
	view: FipsView = THIS_PROCESS,
): Promise<FipsStatus> {
	const module = config.fipsModule;
	if (!config.fips) {
		return {
			required: false,
			active: false,
			proofs: [],
			module,
			statement: "This appliance does not run in FIPS mode.",
		};
	}
	const kernel = (await view.kernelFlag()).trim();
	const maps = await view.processMaps();
	const selfTest = [
		view.nodeFips() === 1 ? "" : "FIPS mode is off in the runtime",
		attempt(() => view.hash("sha256")) === EMPTY_SHA256 ? "" : "sha256 does not work",
		attempt(() => view.hash("md5")) === undefined ? "" : "md5 is not refused",
		/\/fips\.so$/m.test(maps) ? "" : "fips.so is not loaded",
	].filter(Boolean);
	const proofs: Proof[] = [
		{
			name: "build",
			ok: module !== null,
			detail: module
				? `${module.provider} ${module.version} (${module.stream})`
				: "the build recorded no FIPS provider",
		},
		{ name: "kernel", ok: kernel === "1", detail: `fips_enabled=${kernel}` },
		{
			name: "self-test",
			ok: selfTest.length === 0,
			detail: selfTest.join("; ") || "sha256 works, md5 is refused, fips.so is loaded",
		},
	];
	const active = proofs.every((proof) => proof.ok);
	return { required: true, active, proofs, module, statement: statement(active, module) };
}

/** E_FIPS_INACTIVE with every proof that fails, or nothing. */
export function fipsFault(fips: FipsStatus): SlipwayError | undefined {
	if (!fips.required || fips.active) return undefined;
	const failed = fips.proofs.filter((proof) => !proof.ok).map((proof) => `${proof.name}: ${proof.detail}`);
	return new SlipwayError("E_FIPS_INACTIVE", `FIPS mode is not proved. ${failed.join(". ")}.`);
}

/** Only a certified stream with its certificate may be called a validated module. */
function statement(active: boolean, module: ApplianceConfig["fipsModule"]): string {
	if (!active || module === null) return "FIPS mode is not proved.";
	const name = `${module.provider} ${module.version}`;
	if (module.stream === "fips" && module.certificate !== null) {
		return `FIPS mode is on; uses a validated module (${name}, certificate ${module.certificate}).`;
	}
	return `FIPS mode is on with the provider ${name} (${module.stream}); not certified.`;
}

function attempt(hash: () => string): string | undefined {
	try {
		return hash();
	} catch {
		return undefined;
	}
}
