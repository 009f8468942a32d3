import { PRO_TOOLS } from "../../archive/packages.ts";
import { PREFER_PINNED, pinEnv, pinLines, pinOptions } from "../../archive/pins.ts";
import { proHook, proHookEnv } from "../../archive/pro-hook.ts";
import { aptSources, findKeyring } from "../../archive/sources.ts";
import { type Mmdebstrap, mmdebstrap } from "../../tools/mmdebstrap.ts";
import type { Run, RunOptions } from "../../tools/run.ts";
import type { FetchRequest } from "./archive.ts";

/**
 * Lets mmdebstrap fetch the packages and all that they need in an empty root into `<work>/archives`, and the archive's signed
 * Release files into `<work>/lists`. Nothing is installed, except, with a token, the vendor's client in a root that is thrown
 * away. Errors: those of mmdebstrap(), E_KEYRING.
 */
export async function ask(run: Run, request: FetchRequest, work: string, options: RunOptions): Promise<void> {
	const { base, arch, packages, pinned, proTokenFile } = request;
	const hooks = pinned === undefined ? [] : proTokenFile === undefined ? pinOptions() : [PREFER_PINNED];
	const pins = pinned === undefined ? {} : pinEnv(pinLines(pinned));
	const common = {
		...{ suite: base.suite, arch, target: "/dev/null" },
		sources: aptSources(base, arch, request.mirror, pinned?.inRelease),
		keyring: await findKeyring(base, request.keyring),
	};
	const fetched: Mmdebstrap =
		proTokenFile === undefined
			? { ...common, variant: "extract", include: packages, options: ["--format=null", ...hooks, copyOut(work)] }
			: {
					...{ ...common, variant: "essential", include: PRO_TOOLS },
					options: ["--format=null", ...hooks, `--customize-hook=${proHook}`],
				};
	const token = proTokenFile === undefined ? {} : proEnv(request, proTokenFile, work);
	await mmdebstrap(run, fetched, 0, { ...options, env: { ...options.env, ...pins, ...token, TMPDIR: work } });
}

function copyOut(work: string): string {
	return `--extract-hook=copy-out /var/cache/apt/archives /var/lib/apt/lists ${quoted(work)}`;
}

function proEnv({ base, packages }: FetchRequest, tokenFile: string, work: string): Record<string, string> {
	const { stream: service = "", contracts } = base.fips ?? {};
	return { ...proHookEnv({ service, contracts: contracts ?? "", packages }, tokenFile), SLIPWAY_PRO_DOWNLOAD: work };
}

/** mmdebstrap splits a hook into words as a shell would. */
function quoted(word: string): string {
	return `'${word.replaceAll("'", "'\\''")}'`;
}
