import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type BlockDevice, BlockDevices } from "./block-devices.ts";
import { openIn } from "./open-in.ts";
import { type Use, Uses } from "./uses.ts";

export interface Part {
	readonly name: string;
	/** Bytes. */
	readonly size: number;
	/** Empty where udev did not say. */
	readonly fileSystem: string;
	readonly label: string;
}

/** Everything that says whether a disk may be written over, and by which a person knows it. */
export interface Disk {
	readonly name: string;
	readonly partitionOf: string | undefined;
	readonly model: string;
	readonly serial: string;
	readonly transport: string;
	/** The medium or the whole device is made to be taken out. */
	readonly removable: boolean;
	readonly readOnly: boolean;
	/** Bytes. */
	readonly size: number;
	/** Bytes of a logical sector. */
	readonly sectorSize: number;
	/** The kernel's count of disks: another one under the same name has another. Empty before Linux 5.15. */
	readonly sequence: string;
	/** The disk itself where it holds a file system or a label, and its partitions. */
	readonly parts: readonly Part[];
	/** Devices that it is made of; a disk has none. */
	readonly slaves: readonly string[];
	/** Device-mapper, md and loop devices that lie on it or on a partition. */
	readonly holders: readonly { readonly part: string; readonly holder: string }[];
	readonly uses: readonly Use[];
	/** Programs that have it, or a partition, open just now: `qemu-system-x86 (4711)`. */
	readonly openIn: readonly string[];
}

/** Looks at a device's own bytes, for a host where udev does not run. Keys as blkid has them. */
export type Probe = (device: string) => Promise<Readonly<Record<string, string>>>;

/**
 * Reads the facts about the block device with this number (`8:16`); undefined if the kernel has none. Opens no device, but with
 * `probe` those of which udev knows nothing.
 */
export async function readDisk(root: string, number: string, probe?: Probe): Promise<Disk | undefined> {
	const devices = new BlockDevices(root);
	const device = await devices.byNumber(number);
	if (device === undefined) return undefined;
	const all = [device, ...(await devices.partitions(device))];
	const uses = await new Uses(root, devices).byDisk();
	const transport = await transportOf(devices, device);
	return {
		name: device.name,
		partitionOf: device.partitionOf,
		...(await identityOf(devices, device)),
		transport,
		removable: await isRemovable(devices, device, transport),
		readOnly: (await devices.attribute(device, "ro")) === "1",
		size: await devices.size(device),
		sectorSize: Number((await devices.attribute(device, "queue/logical_block_size")) || 512),
		sequence: await devices.attribute(device, "diskseq"),
		parts: (await Promise.all(all.map((one) => partOf(devices, one, probe)))).filter(
			({ name, fileSystem, label }) => name !== device.name || fileSystem !== "" || label !== "",
		),
		slaves: await devices.list(device, "slaves"),
		holders: (await Promise.all(all.map((one) => holdersOf(devices, one)))).flat(),
		uses: uses.get(device.name) ?? [],
		openIn: await openIn(
			root,
			all.map(({ name }) => name),
		),
	};
}

async function partOf(devices: BlockDevices, part: BlockDevice, probe: Probe | undefined): Promise<Part> {
	const udev = await devices.udev(part);
	const own = Object.keys(udev).length === 0 && probe !== undefined ? await probe(`/dev/${part.name}`) : {};
	return {
		name: part.name,
		size: await devices.size(part),
		fileSystem: shown(udev.ID_FS_TYPE ?? own.TYPE),
		label: shown(udev.ID_FS_LABEL ?? udev.ID_PART_ENTRY_NAME ?? own.LABEL),
	};
}

async function holdersOf(devices: BlockDevices, part: BlockDevice) {
	const holders = [...(await devices.list(part, "holders")), ...(await devices.loopsOn(part))];
	const named = holders.map(async (holder) => {
		const name = await devices.attribute(part, `holders/${holder}/dm/name`);
		return { part: part.name, holder: name === "" ? holder : `${holder} (${shown(name)})` };
	});
	return Promise.all(named);
}

/** By the hardware that it hangs from, as its path in sysfs names it. */
async function transportOf(devices: BlockDevices, device: BlockDevice): Promise<string> {
	const kinds: [string, RegExp][] = [
		["usb", /\/usb\d+\//],
		["nvme", /\/nvme\d+\//],
		["mmc", /\/mmc_host\//],
		["firewire", /\/fw\d+/],
		["sata", /\/ata\d+\//],
		["virtio", /\/virtio\d+\//],
		["scsi", /\/host\d+\//],
		["loop", /\/virtual\/block\/loop/],
		["virtual", /\/virtual\//],
	];
	const found = kinds.find(([, pattern]) => pattern.test(`${device.folder}/`))?.[0] ?? "unknown";
	return found === "mmc" && (await devices.attribute(device, "device/type")) === "SD" ? "sd card" : found;
}

async function isRemovable(devices: BlockDevices, device: BlockDevice, transport: string): Promise<boolean> {
	if (transport === "usb") {
		// A module that is soldered on, or plugged inside the case: the machine's own disk, though it hangs from USB.
		const usb = await devices.ancestorWith(device, "idVendor");
		const place = await readFile(join(usb ?? "/nonexistent", "removable"), "utf8").catch(() => "");
		if (place.trim() === "fixed") return false;
	}
	if ((await devices.attribute(device, "removable")) === "1") return true;
	return ["usb", "firewire", "sd card"].includes(transport);
}

async function identityOf(devices: BlockDevices, device: BlockDevice): Promise<{ model: string; serial: string }> {
	const udev = await devices.udev(device);
	const usb = await devices.ancestorWith(device, "idVendor");
	const ofUsb = async (file: string) => (usb === undefined ? "" : readFile(join(usb, file), "utf8").catch(() => ""));
	const attributes = (...files: string[]) => Promise.all(files.map((file) => devices.attribute(device, file)));
	const [vendor = "", model = "", name = ""] = await attributes("device/vendor", "device/model", "device/name");
	const serials = [await ofUsb("serial"), ...(await attributes("device/serial", "serial"))];
	return {
		// virtio gives a number as vendor.
		model: shown(model === "" ? (udev.ID_MODEL ?? name) : `${vendor.startsWith("0x") ? "" : vendor} ${model}`),
		serial: shown([...serials, udev.ID_SERIAL_SHORT ?? ""].find((one) => one.trim() !== "")),
	};
}

/** A device says of itself what it likes; a terminal gets printable characters only. */
function shown(text: string | undefined): string {
	return (text ?? "")
		.trim()
		.replace(/[^\x20-\x7e]/g, "?")
		.replace(/ +/g, " ")
		.trim();
}
