import { access } from "node:fs/promises";
import { join } from "node:path";
import { chroot } from "./chroot.ts";
import type { Run } from "./run.ts";
import { unpackOwnTar } from "./tar.ts";

/** What programs that ask an archive need of the host: names, and whom to trust for https, a site's own authority included. */
const NETWORK = ["/etc/hosts", "/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"];

export interface Workshop {
	/** Its root folder, to be thrown away: scripts of packages may write into it. */
	readonly root: string;
	/** Runs a program inside it; `binds` are seen under the same paths as on the host. */
	run(binds: readonly string[]): Run;
}

/** Unpacks the workshop stage's output into `work/workshop`. Needs root. */
export async function openWorkshop(run: Run, stage: string, work: string): Promise<Workshop> {
	const root = join(work, "workshop");
	await unpackOwnTar(run, join(stage, "root.tar"), root);
	const network = await existing(NETWORK);
	return {
		root,
		run: (binds) => (file, args, options) =>
			chroot(run, root, [file, ...args], { ...options, binds: [...network, ...binds] }),
	};
}

async function existing(files: readonly string[]): Promise<string[]> {
	const found = await Promise.all(
		files.map((file) =>
			access(file).then(
				() => [file],
				() => [],
			),
		),
	);
	return found.flat();
}
