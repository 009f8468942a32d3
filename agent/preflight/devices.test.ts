import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { diskSizes, wiredPorts } from "./devices.ts";

async function machine(files: Record<string, string>): Promise<{ sys: string; udev: string }> {
	const root = await tempDir();
	for (const [name, text] of Object.entries(files)) {
		await mkdir(join(root, name, ".."), { recursive: true });
		await writeFile(join(root, name), `${text}\n`);
	}
	return { sys: join(root, "sys"), udev: join(root, "udev") };
}

const disk = (name: string, dev: string, gib: number, removable = 0) => ({
	[`sys/block/${name}/removable`]: String(removable),
	[`sys/block/${name}/size`]: String(gib * 2 ** 21),
	[`sys/block/${name}/dev`]: dev,
	[`sys/block/${name}/device/uevent`]: "",
});

test("built-in disks count: no stick, no loop device, no medium of ours, nothing of size 0", async () => {
	const view = await machine({
		...disk("sda", "8:0", 8),
		...disk("nvme0n1", "259:0", 64),
		...disk("sdb", "8:16", 32, 1),
		...disk("sdc", "8:32", 32),
		"udev/b8:32": "S:disk/by-label/SLIPWAY_0123456789AB\nE:ID_FS_LABEL=SLIPWAY_0123456789AB\nE:ID_FS_TYPE=iso9660",
		...disk("sdd", "8:48", 0),
		...disk("mmcblk0boot0", "179:8", 1),
		"sys/block/loop0/removable": "0",
		"sys/block/loop0/size": "9999999",
	});
	expect(await diskSizes(view)).toEqual([65536, 8192]);
});

test("wired ports count: not the loopback, not wireless, nothing without a device behind it", async () => {
	const port = (name: string, type = "1") => ({ [`sys/class/net/${name}/type`]: type });
	const view = await machine({
		...port("lo", "772"),
		...port("eno1"),
		"sys/class/net/eno1/device/uevent": "",
		...port("wlp2s0"),
		"sys/class/net/wlp2s0/device/uevent": "",
		"sys/class/net/wlp2s0/phy80211/name": "phy0",
		...port("br0"),
		...port("ib0", "32"),
		"sys/class/net/ib0/device/uevent": "",
	});
	expect(await wiredPorts(view)).toBe(1);
	expect(await wiredPorts({ sys: "/nonexistent", udev: "/nonexistent" })).toBe(0);
});
