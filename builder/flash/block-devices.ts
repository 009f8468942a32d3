import { readdir, readFile, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** One block device as sysfs shows it. */
export interface BlockDevice {
	/** The kernel's name, `sdb1`. */
	readonly name: string;
	/** Its folder in sysfs, all links followed: the folders above it are the hardware it hangs from. */
	readonly folder: string;
	/** Name of the disk that it is a partition of. */
	readonly partitionOf: string | undefined;
}

/**
 * Reads what the kernel says about block devices, out of the `sys`, `dev` and `run/udev` of a root folder (`/`, or a made-up one
 * in tests). Nothing here opens a device.
 */
export class BlockDevices {
	readonly #root: string;

	constructor(root: string) {
		this.#root = root;
	}

	/** The device with this number (`8:17`); undefined if there is none. */
	async byNumber(number: string): Promise<BlockDevice | undefined> {
		return this.#at(join(this.#root, "sys/dev/block", number));
	}

	async byName(name: string): Promise<BlockDevice | undefined> {
		return this.#at(join(this.#root, "sys/class/block", name));
	}

	/** The device that a path such as `/dev/mapper/vg-root` leads to. */
	async byPath(path: string): Promise<BlockDevice | undefined> {
		const real = await realpath(join(this.#root, path)).catch(() => undefined);
		return real === undefined ? undefined : this.byName(basename(real));
	}

	async partitions(disk: BlockDevice): Promise<BlockDevice[]> {
		const names = (await this.list(disk, ".")).filter((name) => name.startsWith(disk.name));
		const found = await Promise.all(names.map((name) => this.#at(join(disk.folder, name))));
		return found.filter((one) => one?.partitionOf === disk.name).map((one) => one!);
	}

	/** Loop devices over the device itself: the kernel calls them no holders, and they do not claim it. */
	async loopsOn(device: BlockDevice): Promise<string[]> {
		const names = await readdir(join(this.#root, "sys/class/block")).catch(() => [] as string[]);
		const found: string[] = [];
		for (const name of names.filter((one) => /^loop\d+$/.test(one)).sort()) {
			const loop = await this.byName(name);
			const backing = loop === undefined ? "" : await this.attribute(loop, "loop/backing_file");
			if (backing.startsWith("/dev/") && (await this.byPath(backing))?.name === device.name) found.push(name);
		}
		return found;
	}

	/** Names in one folder of the device, such as `holders`; none where there is no such folder. */
	async list(device: BlockDevice, folder: string): Promise<string[]> {
		return (await readdir(join(device.folder, folder)).catch(() => [])).sort();
	}

	/** One attribute, without white space around it; empty where there is none. */
	async attribute(device: BlockDevice, file: string): Promise<string> {
		return (await readFile(join(device.folder, file), "utf8").catch(() => "")).trim();
	}

	/** Bytes. */
	async size(device: BlockDevice): Promise<number> {
		return Number(await this.attribute(device, "size")) * 512;
	}

	/** What udev found out about it, such as `ID_FS_LABEL`; empty where udev does not run. */
	async udev(device: BlockDevice): Promise<Readonly<Record<string, string>>> {
		const number = await this.attribute(device, "dev");
		const text = await readFile(join(this.#root, "run/udev/data", `b${number}`), "utf8").catch(() => "");
		return Object.fromEntries([...text.matchAll(/^E:([^=\n]+)=(.*)$/gm)].map((m) => [m[1]!, m[2]!]));
	}

	/** The nearest folder above the device that holds a file of this name: the USB device of a stick has `idVendor`. */
	async ancestorWith(device: BlockDevice, file: string): Promise<string | undefined> {
		const top = await realpath(join(this.#root, "sys")).catch(() => "/");
		for (let folder = dirname(device.folder); folder.length > top.length; folder = dirname(folder)) {
			if ((await readdir(folder).catch(() => [] as string[])).includes(file)) return folder;
		}
		return undefined;
	}

	async #at(path: string): Promise<BlockDevice | undefined> {
		const folder = await realpath(path).catch(() => undefined);
		if (folder === undefined) return undefined;
		const partition = await readFile(join(folder, "partition")).catch(() => undefined);
		return { name: basename(folder), folder, partitionOf: partition && basename(dirname(folder)) };
	}
}
