import { copyFile, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { qemuArgs, uefiFirmware } from "../../builder/tools/qemu.ts";
import { run } from "../../builder/tools/run.ts";
import { isoExtents } from "../../builder/tools/xorriso.ts";
import { serialOf } from "../support/serial-guest.ts";

/**
 * An ISO with one wrong bit: in the root image, it stops the start in words; in the kernel, GRUB refuses it under Secure Boot.
 * The first boots go straight into the kernel, past firmware and menu. Needs root, the package archive and QEMU.
 */

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const BOOT_MS = 10 * 60_000;

let dir: string;
let iso: string;
beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-damaged-"));
	const { stdout } = await run(join(ROOT, "slipway"), ["build", "palette-amd64", "--base", "debian-13", "--json"]);
	iso = (JSON.parse(stdout) as { iso: string }).iso;
	const files = ["/boot/vmlinuz", "/boot/initrd", "/boot/grub/grub.cfg"];
	const extract = files.flatMap((file) => ["-extract", file, join(dir, file.replace(/.*\//, ""))]);
	await run("xorriso", ["-osirrox", "on", "-indev", `stdio:${iso}`, ...extract]);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A copy of the ISO with one bit flipped, at a byte of a file. */
async function damaged(path: string, at: (size: number) => number): Promise<string> {
	const copy = join(dir, "damaged.iso");
	await copyFile(iso, copy);
	const [extent] = (await isoExtents(run, iso)).get(path)!;
	const handle = await open(copy, "r+");
	const byte = Buffer.alloc(1);
	const position = extent!.start + at(extent!.size);
	await handle.read(byte, 0, 1, position);
	byte[0]! ^= 1;
	await handle.write(byte, 0, 1, position);
	await handle.close();
	return copy;
}

/** Starts kernel and initrd with the menu's own line, changed by `change`, and the medium in a CD drive. */
async function start(medium: string, change: (line: string) => string, wanted: readonly RegExp[]): Promise<string> {
	const menu = await readFile(join(dir, "grub.cfg"), "utf8");
	const line = /^\tlinux \/boot\/vmlinuz (.* console=ttyS0,115200n8)$/m.exec(menu)![1]!;
	const log = join(dir, "serial.log");
	await writeFile(log, "");
	const args = [
		...["-machine", "q35", "-m", "2048", "-smp", "2", "-accel", "tcg,thread=multi", "-cpu", "max,erms=off,fsrm=off"],
		...["-display", "none", "-nodefaults", "-no-reboot", "-serial", `file:${log}`],
		...["-kernel", join(dir, "vmlinuz"), "-initrd", join(dir, "initrd"), "-append", `${change(line)} quiet`],
		...["-drive", `if=none,id=medium,format=raw,readonly=on,file=${medium}`, "-device", "ide-cd,drive=medium"],
	];
	return serialOf(args, log, wanted, BOOT_MS);
}

test("one flipped byte in the root image stops the start, and the console says what is wrong and what to do", async () => {
	const medium = await damaged("/live/rootfs.squashfs", () => 2000);
	// `root: ram`, as this profile has it: all of the image is read before anything runs from it.
	const inMemory = await start(medium, (line) => line, [/restarts in 60 seconds/]);
	expect(inMemory).toMatch(/E_ROOT_IMAGE: The root image on the medium is damaged: live\/rootfs\.squashfs\./);
	expect(inMemory).toMatch(/Next: Write the ISO to another medium, and start from that\./);
	// `root: live`: the kernel stops at the first wrong byte that is read.
	const live = await start(medium, (line) => line.replace(" slipway.ram=1", ""), [/Rebooting in \d+ seconds/]);
	expect(live).toMatch(
		/If "dm-verity device corrupted" follows, the medium is damaged: write the ISO to another one\./,
	);
	expect(live).toMatch(/Kernel panic - not syncing: dm-verity device corrupted[\s\S]*Rebooting in 60 seconds/);
	for (const said of [inMemory, live]) expect(said).not.toMatch(/slipway: state=|login:/);
});

test("a kernel with one flipped bit is refused under Secure Boot", async () => {
	const medium = await damaged("/boot/vmlinuz", (size) => size >> 1);
	const log = join(dir, "secure-boot.log");
	const firmware = "uefi-secureboot";
	const args = qemuArgs({
		...{ arch: "amd64", firmware, media: "cd", iso: medium, memory: 1024, accel: "tcg", serialLog: log },
		...{
			forward: [],
			disk: null,
			qmp: join(dir, "qmp"),
			uefi: await uefiFirmware("amd64", firmware, join(dir, "vars.fd")),
		},
	});
	const said = await serialOf(args, log, [/bad shim signature/, /you need to load the kernel first/], BOOT_MS);
	expect(said).toMatch(/error: .*bad shim signature/);
	expect(said).not.toMatch(/Linux version|slipway:/);
});
