import { expect, test } from "vitest";
import { type FakeDevice, type FakeHost, fakeHost } from "../../test/support/fake-sysfs.ts";
import { readDisk } from "./disk.ts";
import { refusals } from "./refusals.ts";

const USB = "pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb";
const SATA = "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";
const above = {
	[`${USB}/../../../../../../idVendor`]: "0781",
	[`${USB}/../../../../../../serial`]: "4C530001",
	[`${USB}/../../../../../../removable`]: "removable",
};

function stick(more: Partial<FakeDevice> = {}): FakeDevice {
	const attributes = {
		removable: "1",
		"device/vendor": "SanDisk ",
		"device/model": "Ultra\u001b[2J",
		...more.attributes,
	};
	return { number: "8:16", at: USB, ...more, attributes };
}
const part = (disk: string, number: string, name: string, more: Partial<FakeDevice> = {}): FakeDevice => ({
	...{ number, at: `${disk}/${name}`, size: 1e9 },
	...more,
	attributes: { partition: "1", ...more.attributes },
});
const internal: FakeDevice = {
	number: "8:0",
	at: SATA,
	attributes: { removable: "0", "device/model": "Disk" },
	size: 5e11,
};

interface Wish {
	readonly number?: string;
	readonly size?: number;
	readonly yesReally?: boolean;
	readonly precious?: { point: string; what: string }[];
}

async function reasons(host: FakeHost, wish: Wish = {}): Promise<string[]> {
	const disk = await readDisk(await fakeHost({ above, ...host }), wish.number ?? "8:16");
	const found = refusals(disk!, { size: 1e9, yesReally: false, precious: [], ...wish });
	for (const error of found) expect(error.code).toBe("E_DEVICE");
	return found.map(({ message, next }) => `${message} ${next}`);
}

test("a stick that nothing uses may be written, and is shown by what it says of itself, without its control characters", async () => {
	const sdb1 = part(USB, "8:17", "sdb1", { udev: { ID_FS_TYPE: "vfat", ID_FS_LABEL: "PHOTOS" } });
	const host = { above, devices: [stick(), sdb1, internal], mounts: ["8:0 / /dev/sda"] };
	const disk = await readDisk(await fakeHost(host), "8:16");
	expect(disk).toMatchObject({
		...{ name: "sdb", model: "SanDisk Ultra?[2J", serial: "4C530001", transport: "usb", removable: true, size: 32e9 },
		...{ parts: [{ name: "sdb1", size: 1e9, fileSystem: "vfat", label: "PHOTOS" }], uses: [], holders: [] },
	});
	expect(await reasons(host)).toEqual([]);
	expect(await readDisk(await fakeHost(host), "8:99")).toBeUndefined();
});

test("a partition is refused with the name of its disk", async () => {
	const devices = [stick(), part(USB, "8:17", "sdb1")];
	expect(await reasons({ devices }, { number: "8:17", yesReally: true })).toEqual([
		expect.stringMatching(/^sdb1 is a partition of sdb; .*\/dev\/sdb$/),
	]);
});

test.each<[string, Partial<FakeDevice>, Wish, RegExp]>([
	["larger than the disk", { size: 5e8 }, {}, /^The ISO has .*, sdb only /],
	["no medium in the reader", { size: 0 }, {}, /^There is no medium in sdb/],
	["write-protected", { attributes: { ro: "1" } }, {}, /^sdb is write-protected/],
	["4096-byte sectors", { attributes: { "queue/logical_block_size": "4096" } }, {}, /sectors of 4096 bytes/],
	["ZFS member", { udev: { ID_FS_TYPE: "zfs_member", ID_FS_LABEL: "tank" } }, {}, /^sdb belongs to a ZFS pool, tank/],
])("%s", async (_, more, wish, pattern) => {
	expect(await reasons({ devices: [stick(more)] }, { ...wish, yesReally: true })).toEqual([
		expect.stringMatching(pattern),
	]);
});

test("what is not made to be taken out needs --yes-really: SATA, and a USB module fixed inside the case", async () => {
	const host = { devices: [internal] };
	expect(await reasons(host, { number: "8:0" })).toEqual([
		expect.stringMatching(/^sda \(sata\) is not removable.*--yes-really/),
	]);
	expect(await reasons(host, { number: "8:0", yesReally: true })).toEqual([]);
	const ssd = stick({ attributes: { removable: "0" } });
	expect(await reasons({ devices: [ssd] })).toEqual([]);
	const fixed = { ...above, [`${USB}/../../../../../../removable`]: "fixed" };
	expect(await reasons({ devices: [stick()], above: fixed })).toEqual([expect.stringContaining("--yes-really")]);
});

test("disks of this machine, in any use and through every layer, are refused whatever is insisted on", async () => {
	const yesReally = true;
	const sdb1 = part(USB, "8:17", "sdb1");
	const sdb2 = part(USB, "8:18", "sdb2");
	const layer = (name: string, number: string, slaves: string[], more: Partial<FakeDevice> = {}): FakeDevice => ({
		...{ number, at: `virtual/block/${name}`, slaves },
		...more,
	});
	const crypt = layer("dm-0", "253:0", ["sdb2"], { attributes: { "dm/name": "luks-root" } });
	const lv = layer("dm-1", "253:1", ["dm-0"], { links: ["dev/mapper/vg-root"] });
	const loop: FakeDevice = {
		...{ number: "7:0", at: "virtual/block/loop0" },
		attributes: { "loop/backing_file": "/media/stick/live.squashfs" },
	};
	const over = (name: string, number: string, file: string): FakeDevice => ({
		...{ number, at: `virtual/block/${name}` },
		attributes: { "loop/backing_file": file },
	});
	const [loopOver, loopOverPart] = [over("loop1", "7:1", "/dev/sdb"), over("loop2", "7:2", "/dev/sdb1")];
	const cases: [string, FakeHost, RegExp[]][] = [
		[
			"/ on a partition",
			{ devices: [stick(), sdb1], mounts: ["8:17 / /dev/sdb1"] },
			[/^sdb holds \/ \(sdb1 on sdb\) of this/],
		],
		[
			"/boot beside it",
			{ devices: [stick()], mounts: ["0:30 / tank", "8:16 /boot /dev/sdb"] },
			[/^sdb holds \/boot of this/],
		],
		[
			"/ on LVM on LUKS",
			{ devices: [stick(), sdb1, sdb2, crypt, lv], mounts: ["253:1 / /dev/mapper/vg-root"] },
			[/^sdb holds \/ \(dm-1 on dm-0 on sdb2 on sdb\) of this/, /^dm-0 \(luks-root\) lies on sdb2/],
		],
		[
			"/ on btrfs, whose number is no device's",
			{ devices: [stick(), sdb1], mounts: ["0:31 / /dev/sdb1"] },
			[/^sdb holds \//],
		],
		[
			"the second device of a btrfs",
			{
				devices: [internal, stick()],
				mounts: ["0:31 / /dev/sda"],
				btrfs: [["sda", "sdb"]],
			},
			[/^sdb holds \//],
		],
		[
			"half of a mirror that is not mounted",
			{ devices: [stick(), sdb1, layer("md0", "9:0", ["sdb1"])] },
			[/^md0 lies on sdb1/],
		],
		[
			"a mounted stick",
			{ devices: [stick(), sdb1], mounts: ["8:17 /media/my\\040stick /dev/sdb1"] },
			[/^sdb is mounted at \/media\/my stick .*umount \/media\/my stick$/],
		],
		[
			"a file on it that is mounted through a loop device",
			{
				devices: [stick(), loop],
				mounts: ["8:16 /media/stick /dev/sdb", "7:0 / /dev/loop0"],
			},
			[/^sdb holds \/ \(loop0 on sdb\) of this/],
		],
		[
			"a loop device over the disk itself, mounted",
			{ devices: [stick(), loopOver], mounts: ["7:1 /mnt /dev/loop1"] },
			[/^sdb is mounted at \/mnt \(loop1 on sdb\)/, /^loop1 lies on sdb/],
		],
		[
			"a loop device over a partition, not mounted",
			{ devices: [stick(), sdb1, loopOverPart] },
			[/^loop2 lies on sdb1/],
		],
		[
			"a program that has a partition open",
			{ devices: [stick(), sdb1], programs: [{ pid: 77, name: "qemu-system-x86", open: ["/dev/sdb1"] }] },
			[/^sdb is open in qemu-system-x86 \(77\)/],
		],
		[
			"swap on a partition",
			{ devices: [stick(), sdb1], swaps: ["/dev/sdb1"] },
			[/^sdb is used for swap: .* swapoff \/dev\/sdb1$/],
		],
		[
			"a swap file",
			{ devices: [stick(), sdb1], mounts: ["8:17 /mnt /dev/sdb1"], swaps: ["/mnt/swap"] },
			[/^sdb is mounted at \/mnt/, /^sdb is used for swap: \/mnt\/swap/],
		],
	];
	for (const [what, host, patterns] of cases) {
		const found = await reasons(host, { yesReally });
		expect(found, what).toEqual(patterns.map((pattern) => expect.stringMatching(pattern)));
	}
	const devices = [stick(), sdb2, crypt];
	expect(await reasons({ devices }, { number: "253:0", yesReally })).toEqual([
		expect.stringMatching(/^dm-0 is a layer over sdb2/),
	]);
	const precious = [{ point: "/work", what: "this project" }];
	const work = { devices: [stick()], mounts: ["8:16 /work /dev/sdb"] };
	expect(await reasons(work, { yesReally, precious })).toEqual([
		expect.stringMatching(/^sdb holds this project \(\/work\)/),
	]);
});

test("dozens of mounts make one refusal, not dozens", async () => {
	const mounts = Array.from({ length: 30 }, (_, i) => `8:16 /containers/${i} /dev/sdb`);
	expect(await reasons({ devices: [stick()], mounts })).toEqual([expect.stringContaining("and 25 more places")]);
});
