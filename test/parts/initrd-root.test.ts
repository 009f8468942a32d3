import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT_ID, stub } from "../support/box.ts";
import { LABEL, makeMachine } from "../support/machine.ts";

/**
 * The initrd's own script with real devices and mounts, and device-mapper made up: which medium it takes, what it maps, and what
 * it says. What a machine then does with a wrong byte is shown by damaged-medium.test.ts. Needs root.
 */

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const SCRIPT = join(ROOT, "builder/stages/dracut/91slipway-root/slipway-root.sh");
const [HASH, SALT] = ["a".repeat(64), "b".repeat(64)];
const VERITY = `slipway.verity=12:${HASH}:${SALT}`;
const table = (name: string, file: string, options: string) =>
	`losetup -rf --show ${file}\ndmsetup create ${name} --readonly --table ` +
	`0 96 verity 1 /dev/loop9 /dev/loop9 4096 4096 12 13 sha256 ${HASH} ${SALT} ${options}\n`;

const medium = (rootId = ROOT_ID) => ({
	".disk/root-0123456789ab": `${rootId}\n`,
	"live/rootfs.squashfs": "image",
	vmlinuz0: "kernel",
});

/** Two media with the label, of which the second has the root image's mark; `line` is added to the kernel line. */
async function makeInitrd(line: string) {
	const box = await makeMachine();
	const { folder } = box;
	await writeFile(join(folder, "cmdline"), `slipway.root=${ROOT_ID} ${line}\n`);
	for (const [name, rootId] of [
		["sda", "f".repeat(64)],
		["sdb", ROOT_ID],
	] as const) {
		await box.device(name, await box.image(name, medium(rootId)));
	}
	await mkdir(join(folder, "dev/mapper"));
	await writeFile(join(folder, "dev/kmsg"), "");
	await stub(folder, "getarg", `tr ' ' '\\n' </proc/cmdline | sed -n "s|^$1||p" | grep .`);
	await stub(folder, "getargbool", '[ "$(getarg "$2=")" = 1 ]');
	await stub(folder, "losetup", 'echo "losetup $*" >>"$FOLDER/calls"; [ "$1" = -d ] || echo /dev/loop9');
	await stub(folder, "dmsetup", 'echo "dmsetup $*" >>"$FOLDER/calls"');
	for (const name of ["sleep", "systemctl"]) await stub(folder, name, `echo "${name} $*" >>"$FOLDER/calls"`);
	const open = async (...disks: string[]) => {
		const said = await box.script(`plug ${disks.map((disk) => `'/dev/${disk} ${LABEL}'`).join(" ")} '/dev/sdc OTHER'
			sh ${SCRIPT} open || true
			findmnt -no SOURCE,OPTIONS /run/initramfs/medium || true
			cat /run/initramfs/live/vmlinuz0 /run/initramfs/slipway-root/rootfs.squashfs 2>/dev/null || true`);
		const read = (file: string) => readFile(join(folder, file), "utf8");
		return { said, calls: await read("calls"), console: await read("dev/kmsg") };
	};
	return { open, folder };
}

test("of the media with the label the one with the mark is mounted, away from where dmsquash-live looks, and its image mapped", async () => {
	const { open } = await makeInitrd(VERITY);
	const { said, calls, console } = await open("sda", "sdb");
	expect(said).toMatch(/^\/dev\/sdb +ro,nosuid,nodev,noexec,.*nosymfollow.*\nkernel$/);
	expect(calls).toBe(table("slipway-root", "/run/initramfs/medium/live/rootfs.squashfs", "1 panic_on_corruption"));
	expect(console).toMatch(/^<24>slipway: Root image 0123456789ab from \/dev\/sdb\. If .*another one\.\n$/);
});

test("without its medium, or a root hash on the kernel line, nothing is mapped and nothing said", async () => {
	for (const [line, disks] of [
		[VERITY, ["sda"]],
		["quiet", ["sdb"]],
	] as const) {
		expect(await (await makeInitrd(line)).open(...disks)).toEqual({ said: "", calls: "", console: "" });
	}
});

test("a root image in memory is copied, read through a mapping that can be told about, and mapped; the medium is let go", async () => {
	const { open, folder } = await makeInitrd(`${VERITY} slipway.ram=1 rd.minmem=1`);
	await writeFile(join(folder, "dev/mapper/slipway-check"), "");
	const { said, calls } = await open("sdb");
	expect(said).toBe("kernelimage");
	const copy = "/run/initramfs/slipway-root/rootfs.squashfs";
	expect(calls).toBe(
		`${table("slipway-check", copy, "")}dmsetup remove --retry slipway-check\nlosetup -d /dev/loop9\n` +
			table("slipway-root", copy, "1 panic_on_corruption"),
	);
});

test.each([
	[
		"an image that cannot be read to its end",
		"rd.minmem=1",
		/E_ROOT_IMAGE: The root image on the medium is damaged: live\/rootfs\.squashfs\./,
	],
	[
		"too little memory for it",
		"rd.minmem=99999999",
		/E_REQUIREMENTS: The root image takes 1 MiB of memory, and 99999999 MiB must be left/,
	],
])("%s: said for a minute, then the machine starts again", async (_name, line, message) => {
	const { open } = await makeInitrd(`${VERITY} slipway.ram=1 ${line}`);
	const { calls, console } = await open("sdb");
	expect(console).toMatch(message);
	expect(console).toMatch(/Next: .*\n.*restarts in 60 seconds\.\n/);
	expect(calls).toMatch(/sleep 60\nsystemctl reboot --force --force\n$/);
});
