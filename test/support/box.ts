import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { run } from "../../builder/tools/run.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const SCRIPTS = join(ROOT, "overlays/appliance/files/usr/lib/slipway");
/** Id of the root image on the box's kernel line. */
export const ROOT_ID = "0123456789abcdef".repeat(4);

export interface Box {
	readonly folder: string;
	read(path: string): Promise<string>;
	/** Folder of the overlay's scripts. */
	readonly scripts: string;
	/** Runs one of the overlay's scripts; 0 or 1. */
	run(script: string, ...args: string[]): Promise<number>;
	/** Runs any shell script in the box. */
	stage(file: string): Promise<{ stdout: string }>;
}

/** Stands in for a program: a few lines of shell; $FOLDER is the box's. */
export async function stub(folder: string, name: string, text: string): Promise<void> {
	await writeFile(join(folder, "bin", name), `#!/bin/sh\n${text}\n`);
	await chmod(join(folder, "bin", name), 0o755);
}

/**
 * A box for its own scripts, with a kernel line and nothing else.
 * `disks`: lsblk's answers, one line a device, as KEY="value" words in the order asked for. No mount is a real one.
 */
export async function makeBox(disks = ""): Promise<Box> {
	const folder = await mkdtemp(join(tmpdir(), "slipway-box-"));
	onTestFinished(() => rm(folder, { recursive: true, force: true }));
	for (const path of ["bin", "dev", "run/slipway", "run/slipway-boot", "run/slipway-medium/content"])
		await mkdir(join(folder, path), { recursive: true });
	await writeFile(join(folder, "cmdline"), `root=live:x slipway.root=${ROOT_ID} quiet\n`);
	await writeFile(join(folder, "disks"), disks);
	await writeFile(join(folder, "media"), "");
	await writeFile(join(folder, "calls"), "");
	await stub(
		folder,
		"lsblk",
		'case $* in *PARTTYPE*) cat "$FOLDER/disks" ;; *FSTYPE*) echo ext4 ;; *) cat "$FOLDER/media" ;; esac',
	);
	await stub(folder, "mount", 'echo "mount $*" >>"$FOLDER/calls"');
	await stub(folder, "chown", 'echo "chown $*" >>"$FOLDER/calls"');
	const enter = ["--mount", "--propagation=private", "--", join(ROOT, "test/support/box.sh"), folder];
	return {
		folder,
		scripts: SCRIPTS,
		read: (path) => readFile(join(folder, path), "utf8"),
		run: async (script, ...args) =>
			(await run("unshare", [...enter, join(SCRIPTS, script), ...args], { accept: [0, 1] })).exitCode,
		stage: (file) => run("unshare", [...enter, file], { timeout: 60_000 }),
	};
}
