import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { BlockDevice, BlockDevices } from "./block-devices.ts";

/** One thing that a running system does with a disk. */
export interface Use {
	readonly kind: "mount" | "swap";
	/** Mount point, or the swap file. */
	readonly where: string;
	/** Devices from the one that is used down to the disk: `dm-0`, `sda2`, `sda`. */
	readonly chain: readonly string[];
}

interface Mount {
	readonly number: string;
	readonly point: string;
	readonly source: string;
}

/**
 * Which disks a system uses, seen through every layer between a file system and its disk: partitions, device-mapper, md, loop
 * devices, and the further devices of a btrfs. File systems of other mount name spaces do not appear here; those the kernel
 * itself refuses when the disk is opened exclusively.
 */
export class Uses {
	readonly #root: string;
	readonly #devices: BlockDevices;

	constructor(root: string, devices: BlockDevices) {
		this.#root = root;
		this.#devices = devices;
	}

	/** Every use, by name of the disk at the bottom. */
	async byDisk(): Promise<Map<string, Use[]>> {
		const found = new Map<string, Use[]>();
		const add = async (kind: Use["kind"], where: string, devices: readonly BlockDevice[]) => {
			for (const chain of (await Promise.all(devices.map((one) => this.#down(one, [])))).flat()) {
				const disk = chain.at(-1)!;
				found.set(disk, [...(found.get(disk) ?? []), { kind, where, chain }]);
			}
		};
		for (const mount of await this.#mounts()) await add("mount", mount.point, await this.#devicesOf(mount));
		for (const file of await this.#swaps()) {
			await add("swap", file, await this.#behind(file));
		}
		return found;
	}

	/** The mount point that holds a path. */
	async mountPointOf(path: string): Promise<string | undefined> {
		return (await this.#mountOf(path))?.point;
	}

	/** The chains from a device to the disks below it: one, but several where it is made of several. */
	async #down(device: BlockDevice, above: readonly string[]): Promise<string[][]> {
		const chain = [...above, device.name];
		// Two loop devices that hold each other's files would never end.
		if (above.includes(device.name)) return [chain];
		const backing = await this.#devices.attribute(device, "loop/backing_file");
		const below =
			device.partitionOf !== undefined
				? [await this.#devices.byName(device.partitionOf)]
				: [
						...(await Promise.all((await this.#devices.list(device, "slaves")).map((n) => this.#devices.byName(n)))),
						...(backing === "" ? [] : await this.#behind(backing)),
					];
		const known = below.filter((one) => one !== undefined);
		const chains = (await Promise.all(known.map((one) => this.#down(one, chain)))).flat();
		// A loop device, or an md array, is in use itself, as well as what it lies on.
		return device.partitionOf !== undefined && chains.length > 0 ? chains : [chain, ...chains];
	}

	/** What a loop device, or swap, reads and writes: a device, or a file somewhere. */
	async #behind(path: string): Promise<BlockDevice[]> {
		if (!path.startsWith("/dev/")) return this.#under(path);
		const device = await this.#devices.byPath(path);
		return device === undefined ? [] : [device];
	}

	async #under(path: string): Promise<BlockDevice[]> {
		const mount = await this.#mountOf(path);
		return mount === undefined ? [] : this.#devicesOf(mount);
	}

	async #mountOf(path: string): Promise<Mount | undefined> {
		const holds = (point: string) => point === "/" || path === point || path.startsWith(`${point}/`);
		// Of two mounts at one place the later one is seen.
		return (await this.#mounts())
			.filter(({ point }) => holds(point))
			.reduce<Mount | undefined>(
				(best, one) => (one.point.length >= (best?.point.length ?? 0) ? one : best),
				undefined,
			);
	}

	async #devicesOf({ number, source }: Mount): Promise<BlockDevice[]> {
		const device = (await this.#devices.byNumber(number)) ?? (await this.#fromSource(source));
		return device === undefined ? [] : [device, ...(await this.#btrfsPeers(device))];
	}

	/** btrfs shows a number of its own, so that only the source names a device. */
	async #fromSource(source: string): Promise<BlockDevice | undefined> {
		return source.startsWith("/dev/") ? this.#devices.byPath(source) : undefined;
	}

	async #btrfsPeers(device: BlockDevice): Promise<BlockDevice[]> {
		const folder = join(this.#root, "sys/fs/btrfs");
		for (const id of await readdir(folder).catch(() => [] as string[])) {
			const names = await readdir(join(folder, id, "devices")).catch(() => [] as string[]);
			if (!names.includes(device.name)) continue;
			const others = names.filter((name) => name !== device.name);
			return (await Promise.all(others.map((name) => this.#devices.byName(name)))).filter((one) => one !== undefined);
		}
		return [];
	}

	/** Lines of proc_pid_mountinfo(5). */
	async #mounts(): Promise<Mount[]> {
		const text = await readFile(join(this.#root, "proc/self/mountinfo"), "utf8");
		return text.split("\n").flatMap((line) => {
			const [left = "", right = ""] = line.split(" - ");
			const [, , number, , point] = left.split(" ");
			const source = right.split(" ")[1];
			if (number === undefined || point === undefined || source === undefined) return [];
			return [{ number, point: unescaped(point), source: unescaped(source) }];
		});
	}

	async #swaps(): Promise<string[]> {
		const text = await readFile(join(this.#root, "proc/swaps"), "utf8").catch(() => "");
		const names = text
			.split("\n")
			.slice(1)
			.map((line) => line.split(/\s/)[0]!);
		return names.filter((name) => name !== "").map(unescaped);
	}
}

/** proc writes a space in a path as `\040`. */
function unescaped(text: string): string {
	return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
