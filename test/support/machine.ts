import { mkdir, open, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { run } from "../../builder/tools/run.ts";
import { type Box, makeBox, stub } from "./box.ts";

/** Label of the medium that belongs to the box's root image. */
export const LABEL = "SLIPWAY_0123456789AB";

/** A box with block devices and mounts that are real ones. */
export interface Machine extends Box {
	/** Makes a disk image; `files`: what is on it, by path; `links`: where the links on it lead, by path. */
	image(name: string, files: Record<string, string>, links?: Record<string, string>): Promise<string>;
	/** Makes the image a block device of that name; on the list it comes with `plug`. */
	device(name: string, image: string): Promise<void>;
	/** Runs shell lines in the box: `plug` sets what lsblk lists, `medium` runs the script and keeps what it says in `said`. */
	script(lines: string): Promise<string>;
}

/** Everything in it is gone with the test: mounts with their name space, loop devices with the last that holds them. */
export async function makeMachine(): Promise<Machine> {
	const box = await makeBox();
	const { folder } = box;
	await mkdir(join(folder, "run/initramfs/medium"), { recursive: true });
	await run("mknod", [join(folder, "dev/null"), "c", "1", "3"]);
	await stub(
		folder,
		"mount",
		'for word do shift; case $word in iso9660) word=ext4 ;; esac; set -- "$@" "$word"; done\nexec /bin/mount "$@"',
	);
	return {
		...box,
		image: async (name, files, links = {}) => {
			const [tree, file] = [join(folder, "trees", name), join(folder, `${name}.img`)];
			await mkdir(tree, { recursive: true });
			for (const [path, text] of Object.entries(files)) {
				await mkdir(join(tree, path, ".."), { recursive: true });
				await writeFile(join(tree, path), text);
			}
			for (const [path, target] of Object.entries(links)) await symlink(target, join(tree, path));
			await run("mkfs.ext4", ["-q", "-O", "^has_journal", "-d", tree, file, "1M"]);
			return file;
		},
		device: async (name, image) => {
			const loop = (await run("losetup", ["--find", "--show", "--read-only", image])).stdout.trim();
			// Detached while it is held, it goes by itself when nobody holds it any more, whatever becomes of this process.
			const held = await open(loop);
			onTestFinished(() => held.close());
			await run("losetup", ["--detach", loop]);
			const { rdev } = await held.stat();
			await run("mknod", [join(folder, "dev", name), "b", String((rdev >> 8) & 0xfff), String(rdev & 0xff)]);
		},
		script: async (lines) => {
			const text = `set -eu
plug() { : >"$FOLDER/media"; for line do echo "$line" >>"$FOLDER/media"; done; }
medium() { said=$(sh ${join(box.scripts, "medium")}); }
at=/run/slipway-medium
${lines}`;
			await writeFile(join(folder, "script.sh"), text);
			return (await box.stage(join(folder, "script.sh"))).stdout;
		},
	};
}
