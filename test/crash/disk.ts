import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BlockLog } from "./block-log.ts";

export type FsType = "ext4" | "xfs";

/** xfs refuses to be made smaller. Both images are sparse. */
const SIZE: Record<FsType, number> = { ext4: 64 * 2 ** 20, xfs: 300 * 2 ** 20 };
const LOG_SIZE = 8 * 2 ** 30;

/**
 * A disk with a file system whose every write and flush is logged: a file behind `qemu-storage-daemon`, which exports it
 * through FUSE, and a loop device over that. Needs root. Run it in mount and pid name spaces of its own: then nothing of it
 * outlives the process, however that ends.
 */
export class LoggedDisk {
	readonly fs: FsType;
	/** The disk before the first logged write. */
	readonly base: string;
	readonly mountpoint: string;
	readonly log: BlockLog;
	readonly #export: string;
	readonly #daemon: ChildProcess;

	private constructor(fs: FsType, folder: string, daemon: ChildProcess) {
		this.fs = fs;
		this.base = join(folder, "base.img");
		this.mountpoint = join(folder, "mnt");
		this.#export = join(folder, "export");
		this.#daemon = daemon;
		this.log = new BlockLog(join(folder, "log.img"));
	}

	/** Makes the file system and starts to log. */
	static async start(fs: FsType, folder: string): Promise<LoggedDisk> {
		const file = (name: string) => join(folder, name);
		mkdirSync(file("mnt"), { recursive: true });
		makeFileSystem(fs, file("base.img"));
		copyFileSync(file("base.img"), file("disk.img"));
		for (const [name, size] of [
			["log.img", LOG_SIZE],
			["export", 0],
		] as const) {
			writeFileSync(file(name), "");
			truncateSync(file(name), size);
		}
		const nodes = [
			`driver=file,node-name=disk,filename=${file("disk.img")}`,
			`driver=file,node-name=log,filename=${file("log.img")}`,
			"driver=blklogwrites,node-name=logged,file=disk,log=log,log-sector-size=512",
		];
		const exported = `type=fuse,id=export,node-name=logged,mountpoint=${file("export")},writable=on`;
		const args = [...nodes.flatMap((node) => ["--blockdev", node]), "--export", exported];
		const daemon = spawn("qemu-storage-daemon", args, { stdio: ["ignore", "ignore", "inherit"] });
		for (let tries = 0; !isMounted(file("export")); tries++) {
			if (tries > 1200 || daemon.exitCode !== null) throw new Error("qemu-storage-daemon did not start");
			await new Promise((resolve) => setTimeout(resolve, 50));
		}
		const disk = new LoggedDisk(fs, folder, daemon);
		mount(fs, disk.#export, disk.mountpoint);
		return disk;
	}

	/** Entries in the log by now. What has been flushed is in it; the pause is for what is being written to the log. */
	async count(): Promise<number> {
		await new Promise((resolve) => setTimeout(resolve, 30));
		return this.log.read();
	}

	/** Unmounts, ends the daemon, and reads the log to its end. */
	async stop(): Promise<void> {
		unmount(this.mountpoint);
		const ended = new Promise((resolve) => this.#daemon.once("exit", resolve));
		this.#daemon.kill("SIGTERM");
		await ended;
		this.log.read();
		if (!this.log.isComplete()) throw new Error("the block log is not whole");
	}
}

export function mount(fs: FsType, image: string, mountpoint: string): void {
	// nouuid: xfs remembers for a moment that a file system with this id was mounted.
	execFileSync("mount", ["-t", fs, "-o", fs === "xfs" ? "loop,nouuid" : "loop", image, mountpoint], { stdio: "pipe" });
}

export function unmount(mountpoint: string): void {
	execFileSync("umount", [mountpoint], { stdio: "pipe" });
}

/** Nothing is done lazily, so that what is logged is the agent's doing. */
function makeFileSystem(fs: FsType, image: string): void {
	writeFileSync(image, "");
	truncateSync(image, SIZE[fs]);
	const options = {
		ext4: ["-q", "-m0", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"],
		xfs: ["-q", "-K"],
	};
	execFileSync(`mkfs.${fs}`, [...options[fs], image]);
}

function isMounted(path: string): boolean {
	return readFileSync("/proc/self/mounts", "utf8").includes(` ${path} `);
}
