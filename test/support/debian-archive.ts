import { aptSources, findKeyring } from "../../builder/archive/sources.ts";
import { projectRoot } from "../../builder/cli/command.ts";
import { loadBase } from "../../builder/profile/base.ts";

/** Debian 13's archive as mmdebstrap takes it: this host's, or the one that MIRROR and KEYRING name. Errors: E_KEYRING. */
export async function debianArchive() {
	const base = await loadBase(projectRoot, "debian-13");
	return {
		...({ suite: base.suite, arch: "amd64" } as const),
		// make exports its variables, the empty ones too.
		sources: aptSources(base, "amd64", process.env.MIRROR || undefined),
		keyring: await findKeyring(base, process.env.KEYRING || undefined),
	};
}
