import { join } from "node:path";
import { z } from "zod";
import { checkInstalled, installedPackages } from "../archive/dpkg.ts";
import { pinEnv, pinLines, pinOptions } from "../archive/pins.ts";
import { aptSources, findKeyring } from "../archive/sources.ts";
import type { Stage } from "../plan/stage.ts";
import { type Mmdebstrap, mmdebstrap } from "../tools/mmdebstrap.ts";
import { readFromTar } from "../tools/tar.ts";
import { unsynced } from "../tools/unsynced.ts";
import { codeOf } from "./code.ts";

const options = z.strictObject({
	suite: z.string(),
	arch: z.enum(["amd64", "arm64"]),
	sources: z.array(z.string()),
	components: z.array(z.string()),
	/** `name=version`, all of them. */
	include: z.array(z.string()),
	/** The same with digests: pinLines(). */
	pins: z.array(z.string()),
	/** What vouches for the packages. */
	keyringDigest: z.string().nullable(),
	epoch: z.int(),
});
type Options = z.infer<typeof options>;

/**
 * A root of the build host's own architecture and the base's suite, for builds of another architecture: packages and the
 * initrd are made in copies of it, so that next to nothing has to be emulated (docs/iso.md).
 */
export const workshop: Stage<Options> = {
	name: "workshop",
	summary: "Install the base's tools for this host (mmdebstrap)",
	options,
	applies: ({ profile, hostArch }) => profile.arch !== hostArch,
	inputs: [],
	plan: ({ base, hostArch, mirror, workshop, archiveEpoch, keyringDigest }) => ({
		suite: base.suite,
		arch: hostArch,
		sources: aptSources(base, hostArch, mirror, workshop?.inRelease),
		components: base.components,
		include: Object.entries(workshop?.packages ?? {}).map(([name, version]) => `${name}=${version}`),
		pins: workshop === null ? [] : pinLines(workshop),
		keyringDigest,
		epoch: archiveEpoch,
	}),
	sources: () => codeOf(import.meta.filename),
	space: () => 800_000_000,
	async run({ build, options: o, out, work, run }) {
		const tar = join(out, "root.tar");
		const asked = workshopRequest(o, await findKeyring(build.base, build.keyring), tar);
		await mmdebstrap(unsynced(run, join(work, "unsynced")), asked, o.epoch, { env: pinEnv(o.pins) });
		const installed = installedPackages(await readFromTar(run, tar, "./var/lib/dpkg/status", work));
		checkInstalled(installed, build.workshop?.packages ?? {});
	},
};

/** What mmdebstrap is asked for. Pure. */
export function workshopRequest(o: Options, keyring: string, target: string): Mmdebstrap {
	return { ...o, variant: "essential", keyring, target, options: ["--format=tar", ...pinOptions()] };
}
