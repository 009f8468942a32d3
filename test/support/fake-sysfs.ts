import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { tempDir } from "./temp.ts";

export interface FakeDevice {
	/** `8:16` */
	readonly number: string;
	/** Folder below /sys/devices; its last part is the name. */
	readonly at: string;
	/** Attributes by file name, sizes in bytes as `size`. */
	readonly attributes?: Readonly<Record<string, string>>;
	readonly size?: number;
	/** What udev knows. */
	readonly udev?: Readonly<Record<string, string>>;
	/** Names of devices that it is made of; they get it as holder. */
	readonly slaves?: readonly string[];
	/** Links in /dev that lead to it. */
	readonly links?: readonly string[];
}

export interface FakeHost {
	readonly devices: readonly FakeDevice[];
	/** Lines `number mount-point source`. */
	readonly mounts?: readonly string[];
	readonly swaps?: readonly string[];
	/** Devices of each btrfs. */
	readonly btrfs?: readonly (readonly string[])[];
	readonly programs?: readonly { readonly pid: number; readonly name: string; readonly open: readonly string[] }[];
	/** Attributes of folders above the devices, by path below /sys/devices. */
	readonly above?: Readonly<Record<string, string>>;
}

/** A root folder with just as much of /sys, /proc, /dev and /run/udev as says what a host's disks are and who uses them. */
export async function fakeHost({
	devices,
	mounts = [],
	swaps = [],
	btrfs = [],
	above = {},
	programs = [],
}: FakeHost): Promise<string> {
	const root = await tempDir();
	const write = async (path: string, text: string) => {
		await mkdir(dirname(join(root, path)), { recursive: true });
		await writeFile(join(root, path), `${text}\n`);
	};
	const link = async (path: string, to: string) => {
		await mkdir(dirname(join(root, path)), { recursive: true });
		await symlink(relative(dirname(join(root, path)), join(root, to)), join(root, path));
	};
	for (const [path, text] of Object.entries(above)) await write(`sys/devices/${path}`, text);
	const folders = new Map(devices.map(({ at }) => [nameOf(at), `sys/devices/${at}`]));
	for (const device of devices) {
		const [name, folder] = [nameOf(device.at), `sys/devices/${device.at}`];
		const attributes = { dev: device.number, size: String((device.size ?? 32e9) / 512), ro: "0", ...device.attributes };
		for (const [file, text] of Object.entries(attributes)) await write(`${folder}/${file}`, text);
		await write(`dev/${name}`, "");
		await link(`sys/dev/block/${device.number}`, folder);
		await link(`sys/class/block/${name}`, folder);
		for (const path of device.links ?? []) await link(path, `dev/${name}`);
		const known = Object.entries(device.udev ?? {}).map(([key, value]) => `E:${key}=${value}`);
		if (known.length > 0) await write(`run/udev/data/b${device.number}`, known.join("\n"));
		for (const slave of device.slaves ?? []) {
			await link(`${folder}/slaves/${slave}`, folders.get(slave)!);
			await link(`${folders.get(slave)}/holders/${name}`, folder);
		}
	}
	for (const [i, names] of btrfs.entries()) {
		for (const name of names) await link(`sys/fs/btrfs/id-${i}/devices/${name}`, folders.get(name)!);
	}
	for (const { pid, name, open } of programs) {
		await write(`proc/${pid}/comm`, name);
		await mkdir(join(root, `proc/${pid}/fd`));
		for (const [fd, path] of open.entries()) await symlink(path, join(root, `proc/${pid}/fd/${fd}`));
	}
	const lines = mounts.map((line, i) => {
		const [number, point, source] = line.split(" ");
		return `${20 + i} 1 ${number} / ${point} rw - ext4 ${source} rw`;
	});
	await write("proc/self/mountinfo", lines.join("\n"));
	await write(
		"proc/swaps",
		["Filename Type Size Used Priority", ...swaps.map((file) => `${file} file 1 0 -2`)].join("\n"),
	);
	return root;
}

function nameOf(at: string): string {
	return at.split("/").at(-1)!;
}
