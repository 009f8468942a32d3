import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { mmdebstrap } from "../../builder/tools/mmdebstrap.ts";
import { type RunResult, run } from "../../builder/tools/run.ts";
import { debianArchive } from "./debian-archive.ts";
import { projectRoot } from "./packs.ts";

/**
 * Runs Debian 13's oras on this host: package and libraries are unpacked into `.cache/` once, and started with that release's
 * own loader, so that no chroot is needed. Errors: those of mmdebstrap.
 */
export async function oras(args: readonly string[], cwd: string): Promise<RunResult> {
	const root = await orasRoot();
	const loader = join(root, "usr/lib64/ld-linux-x86-64.so.2");
	const libraries = ["--library-path", join(root, "usr/lib/x86_64-linux-gnu")];
	return run(loader, [...libraries, join(root, "usr/bin/oras"), ...args], {
		cwd,
		env: { HOME: cwd },
		timeout: 180_000,
	});
}

async function orasRoot(): Promise<string> {
	const cache = join(projectRoot, ".cache");
	const archive = await debianArchive();
	const root = join(cache, `oras-${archive.suite}`);
	if (await stat(root).catch(() => undefined)) return root;
	await mkdir(cache, { recursive: true });
	const work = await mkdtemp(join(cache, "oras-"));
	try {
		const target = join(work, "root");
		await mmdebstrap(run, { ...archive, variant: "extract", include: ["oras"], target }, 0);
		await rename(target, root);
	} finally {
		await rm(work, { recursive: true, force: true });
	}
	return root;
}
