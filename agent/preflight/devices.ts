import { access, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Where the kernel and udev tell of devices; the tests give other folders. */
export interface DeviceView {
	readonly sys: string;
	readonly udev: string;
}

const MACHINE: DeviceView = { sys: "/sys", udev: "/run/udev/data" };
const SECTOR = 512;
const BOOT_AREA = /mmcblk\d+boot\d+$/;
const ETHERNET = "1";
/** Labels of an ISO of ours and of a content stick: such a disk is a medium, wherever it is plugged in. */
const MEDIUM = /^E:ID_FS_LABEL=(SLIPWAY_|SLIPCONTENT$)/m;

/** Sizes in MiB of the built-in disks, largest first: real devices that cannot be taken out and are no medium of ours. */
export async function diskSizes(view: DeviceView = MACHINE): Promise<number[]> {
	const sizes: number[] = [];
	for (const folder of await entries(join(view.sys, "block"))) {
		const removable = (await read(join(folder, "removable"))) !== "0";
		// Loop, memory and mapped devices stand for no hardware of their own; an eMMC shows its boot area as a disk.
		if (removable || BOOT_AREA.test(folder) || !(await exists(join(folder, "device")))) continue;
		const size = Math.floor((Number(await read(join(folder, "size"))) * SECTOR) / 2 ** 20);
		const said = await read(join(view.udev, `b${await read(join(folder, "dev"))}`));
		if (size > 0 && !MEDIUM.test(said)) sizes.push(size);
	}
	return sizes.sort((a, b) => b - a);
}

/** How many wired network ports there are, plugged in or not. */
export async function wiredPorts(view: DeviceView = MACHINE): Promise<number> {
	let count = 0;
	for (const folder of await entries(join(view.sys, "class/net"))) {
		const isWired = (await read(join(folder, "type"))) === ETHERNET && !(await exists(join(folder, "phy80211")));
		if (isWired && (await exists(join(folder, "device")))) count++;
	}
	return count;
}

async function entries(folder: string): Promise<string[]> {
	const names = await readdir(folder).catch(() => []);
	return names.sort().map((name) => join(folder, name));
}

async function read(file: string): Promise<string> {
	return (await readFile(file, "utf8").catch(() => "")).trim();
}

function exists(file: string): Promise<boolean> {
	return access(file).then(
		() => true,
		() => false,
	);
}
