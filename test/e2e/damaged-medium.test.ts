import { constants } from "node:fs";
import { copyFile, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { qemuArgs, uefiFirmware } from "../../builder/tools/qemu.ts";
import { run } from "../../builder/tools/run.ts";
import { isoExtents } from "../../builder/tools/xorriso.ts";
import { serialOf } from "../support/serial-guest.ts";

/**
 * An ISO with a wrong bit: in the root image, it stops the start in words; in the kernel, GRUB refuses it under Secure Boot; anywhere
 * else, "Check the medium" names the file. All boots but GRUB's go straight into the kernel, past firmware and menu, with the menu's
 * own words. Needs root, the package archive and QEMU.
 */

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const BOOT_MS = 20 * 60_000;

let dir: string;
let iso: string;
beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-damaged-"));
	const { stdout } = await run(join(ROOT, "slipway"), ["build", "minimal-amd64", "--base", "debian-13", "--json"]);
	iso = (JSON.parse(stdout) as { iso: string }).iso;
	const files = ["/boot/vmlinuz", "/boot/initrd", "/boot/grub/grub.cfg", "/.disk/iso-release.dsse.json"];
	const extract = files.flatMap((file) => ["-extract", file, join(dir, file.replace(/.*\//, ""))]);
	await run("xorriso", ["-osirrox", "on", "-indev", `stdio:${iso}`, ...extract]);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A copy of the ISO with one bit flipped in each of these files: at that byte, or in the middle. */
async function damaged(paths: readonly string[], at?: number): Promise<string> {
	const copy = join(dir, "damaged.iso");
	await copyFile(iso, copy, constants.COPYFILE_FICLONE);
	const extents = await isoExtents(run, iso);
	const handle = await open(copy, "r+");
	for (const path of paths) {
		const { start, size } = extents.get(path)![0]!;
		const position = start + (at ?? size >> 1);
		const byte = Buffer.alloc(1);
		await handle.read(byte, 0, 1, position);
		byte[0]! ^= 1;
		await handle.write(byte, 0, 1, position);
	}
	await handle.close();
	return copy;
}

/** Starts kernel and initrd with the words of an entry of the menu and perhaps more, and the medium in a CD drive. */
async function start(medium: string, entry: string, more: string, wanted: readonly RegExp[]): Promise<string> {
	const menu = await readFile(join(dir, "grub.cfg"), "utf8");
	const line = new RegExp(`^menuentry "${entry}: .*\n\tlinux /boot/vmlinuz (.*)$`, "m").exec(menu)![1]!;
	const log = join(dir, "serial.log");
	await writeFile(log, "");
	const args = [
		...["-machine", "q35", "-m", "2048", "-smp", "2", "-accel", "tcg,thread=multi", "-cpu", "max,erms=off,fsrm=off"],
		...["-display", "none", "-nodefaults", "-no-reboot", "-serial", `file:${log}`],
		// What the profile demands.
		...["-nic", "user,model=virtio-net-pci,restrict=on"],
		...["-kernel", join(dir, "vmlinuz"), "-initrd", join(dir, "initrd"), "-append", `${line} ${more}`],
		...["-drive", `if=none,id=medium,format=raw,readonly=on,file=${medium}`, "-device", "ide-cd,drive=medium"],
	];
	return serialOf(args, log, wanted, BOOT_MS);
}

test("one flipped bit in the root image stops the start, and the console says what is wrong and what to do", async () => {
	const medium = await damaged(["/live/rootfs.squashfs"], 2000);
	// `root: ram`: all of the image is read before anything runs from it.
	const inMemory = await start(medium, "Start", "slipway.ram=1 rd.minmem=256", [/restarts in 60 seconds/]);
	expect(inMemory).toMatch(/E_ROOT_IMAGE: The root image on the medium is damaged: live\/rootfs\.squashfs\./);
	expect(inMemory).toMatch(/Next: Write the ISO to another medium, and start from that\./);
	// `root: live`: the kernel stops at the first wrong byte that is read.
	const live = await start(medium, "Start", "", [/Rebooting in \d+ seconds/]);
	expect(live).toMatch(
		/If "dm-verity device corrupted" follows, the medium is damaged: write the ISO to another one\./,
	);
	expect(live).toMatch(/Kernel panic - not syncing: dm-verity device corrupted[\s\S]*Rebooting in 60 seconds/);
	for (const said of [inMemory, live]) expect(said).not.toMatch(/slipway: state=|login:/);
});

describe('"Check the medium" in the menu', () => {
	const entry = "Check the medium";
	const verdict = [/^Medium check: (all|DAMAGED)/m, /^slipway: state=(ready|degraded|failed)$/m];

	test("a good medium: the console shows how far it is, with the root image and then with all files, and the box is ready", async () => {
		const said = await start(iso, entry, "", verdict);
		const tenths = Array.from({ length: 10 }, (_, i) => `slipway: Checking the root image: ${i + 1}0 %`);
		expect(said.match(/slipway: Checking the root image: \d+ %/g)).toEqual(tenths);
		const files = (await listed()) + 1;
		expect(said).toMatch(new RegExp(`^Medium check: \\d0 % of \\d+ MiB, \\d+ of ${files} files$`, "m"));
		expect(said).toMatch(new RegExp(`^Medium check: all ${files} files are good\\.$`, "m"));
		expect(said).toMatch(/^Started: +Secure Boot off, root image integrity-checked$/m);
		expect(said).toMatch(/^slipway: state=ready$/m);
	});

	test("a damaged one: the files are named, and the box is not ready", async () => {
		const said = await start(await damaged(["/boot/initrd", "/boot/grub/grub.cfg"]), entry, "", verdict);
		const bad = "boot/initrd, boot/grub/grub\\.cfg";
		expect(said).toMatch(new RegExp(`^Medium check: DAMAGED, 2 of ${(await listed()) + 1} files: ${bad}$`, "m"));
		expect(said).toMatch(new RegExp(`^E_DIGEST_MISMATCH: The medium is damaged: ${bad}\\.$`, "m"));
		expect(said).not.toContain("state=ready");
	});

	/** Files in the signed list; the bundle is not in it and has its own signature. */
	async function listed(): Promise<number> {
		const { payload } = JSON.parse(await readFile(join(dir, "iso-release.dsse.json"), "utf8")) as { payload: string };
		return (JSON.parse(Buffer.from(payload, "base64").toString()) as { files: unknown[] }).files.length;
	}
});

test("a kernel with one flipped bit is refused under Secure Boot", async () => {
	const medium = await damaged(["/boot/vmlinuz"]);
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
