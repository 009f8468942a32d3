import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll } from "vitest";
import { type RunResult, run } from "../../builder/tools/run.ts";
import { type ArchiveServer, serveFolder } from "./archive-server.ts";
import { type UbuntuArchive, ubuntuArchive } from "./archive-ubuntu.ts";
import { projectRoot } from "./packs.ts";
import { tempDir } from "./temp.ts";

export interface LockedSite {
	/** A profile of its own, so that a lock can stand beside it. */
	readonly profile: string;
	readonly dir: string;
	readonly archive: UbuntuArchive;
	readonly server: ArchiveServer;
	/** Says where Ubuntu's packages come from: the stand-in archive, in line 5; `keyring` in line 6. */
	writeMirrors(keyring: string): Promise<void>;
	/** Runs ./slipway on a host with that mirrors.yaml, whatever the exit code. */
	slipway(args: readonly string[], env?: Record<string, string>): Promise<RunResult>;
}

/** A site that builds the small profile, with content made of packages, on Ubuntu 24.04 from the stand-in archive. */
export async function lockedSite(): Promise<LockedSite> {
	const dir = await tempDir();
	const profile = join(dir, "site.yaml");
	const parent = join(projectRoot, "profiles/minimal-amd64.yaml");
	const head = "apiVersion: slipway/v1\nkind: Profile\n";
	await writeFile(profile, `${head}extends: [${parent}]\nbase: ubuntu-24.04\nbundles: [core]\n`);
	const archive = await ubuntuArchive(dir);
	const server = await serveFolder(archive.folder);
	afterAll(async () => {
		await archive.key.close();
		await server.close();
	});
	const env = { MIRRORS: join(dir, "mirrors.yaml") };
	const writeMirrors = (keyring: string) =>
		writeFile(
			env.MIRRORS,
			`apiVersion: slipway/v1\nkind: Mirrors\nbases:\n  ubuntu-24.04:\n    mirror: ${server.url}\n    keyring: ${keyring}\n`,
		);
	await writeMirrors(archive.key.keyring);
	return {
		...{ profile, dir, archive, server, writeMirrors },
		slipway: (args, more = {}) =>
			run(join(projectRoot, "slipway"), args, {
				cwd: projectRoot,
				env: { ...env, ...more },
				accept: [0, 1, 2, 3, 4, 5, 6],
			}),
	};
}
