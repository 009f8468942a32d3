import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { copyFile, open, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { readDisk } from "../../builder/flash/disk.ts";
import { openRawDisk } from "../../builder/flash/raw-disk.ts";
import { compareAll, PIECE, writeAll } from "../../builder/flash/transfer.ts";
import { run } from "../../builder/tools/run.ts";
import { writeIso } from "../../builder/tools/xorriso.ts";
import { sha256Hex } from "../../bundle/digest.ts";
import { seededBytes, testSigner, writeSignature } from "../support/bundles.ts";
import { tempDir } from "../support/temp.ts";

const SLIPWAY = new URL("../../slipway", import.meta.url).pathname;
const MIB = 1024 * 1024;
let dir: string;
let iso: string;
let bytes: Buffer;

beforeAll(async () => {
	dir = await tempDir();
	await writeFile(join(dir, "esp"), seededBytes("esp", MIB));
	iso = await makeIso("small.iso", 24 * MIB);
	bytes = await readFile(iso);
});

/** A real hybrid ISO with one large file. */
async function makeIso(name: string, size: number): Promise<string> {
	const [content, out] = [join(dir, `${name}.content`), join(dir, name)];
	await writeFile(content, Buffer.alloc(size, seededBytes(name, 999_983)));
	const plan = { out, volumeId: "TEST", epoch: 1_700_000_000, esp: join(dir, "esp"), bios: null };
	await writeIso(run, { ...plan, files: [["/boot/content", content]] }, () => undefined);
	await rm(content);
	return out;
}

/** A loop device over a new file that is full of something else. Loop devices are not removable. */
async function disk(size: number, ...options: string[]): Promise<{ device: string; file: string }> {
	const file = join(await tempDir(), "disk");
	await writeFile(file, "");
	await truncate(file, size);
	const handle = await open(file, "r+");
	await handle.write(Buffer.alloc(MIB, "old"), 0, MIB, 0);
	await handle.close();
	const device = (await run("losetup", ["--find", "--show", ...options, file])).stdout.trim();
	onTestFinished(async () => void (await run("losetup", ["--detach", device])));
	return { device, file };
}

const flash = (...args: string[]) => run(SLIPWAY, ["flash", ...args], { accept: [0, 2, 3, 4, 5, 6] });

/** A refusal changes nothing on the disk. */
async function refused(device: string, args: readonly string[], code: RegExp, image = iso): Promise<void> {
	const before = await readFile(device);
	const { exitCode, stdout, stderr } = await flash(image, device, ...args);
	expect(stderr).toMatch(code);
	expect([exitCode === 0, stdout]).toEqual([false, ""]);
	expect((await readFile(device)).equals(before)).toBe(true);
}

test("writes the ISO and nothing behind it, reads it back, and says what was checked", async () => {
	const { device, file } = await disk(bytes.length + 3 * MIB);
	const { stdout, stderr } = await flash(iso, device, "--yes-really", "--json");
	expect(JSON.parse(stdout)).toMatchObject({
		...{ size: bytes.length, sha256: sha256Hex(bytes), checksum: false, signature: null, compared: true },
		disk: { path: device, transport: "loop", removable: false, size: bytes.length + 3 * MIB },
	});
	expect(stderr).toMatch(/loop, NOT REMOVABLE[\s\S]*NOT CHECKED: no \.sha256[\s\S]* 3\/3 compare +done in /);
	const after = await readFile(file);
	expect(after.subarray(0, bytes.length).equals(bytes)).toBe(true);
	expect(after.subarray(bytes.length).every((byte) => byte === 0)).toBe(true);
});

test("refuses what is not removable, no disk, too small, a partition, mounted, and in swap", async () => {
	const { device, file } = await disk(40 * MIB, "--partscan");
	await refused(device, ["--yes"], /^E_DEVICE: loop\d+ \(loop\) is not removable.*\n {2}Next: .*--yes-really/m);
	expect(await flash(iso, file, "--yes-really")).toMatchObject({
		exitCode: 2,
		stderr: expect.stringMatching(/^E_DEVICE: .* is not a block device/),
	});
	const small = await disk(8 * MIB);
	await refused(small.device, ["--yes-really"], /^E_DEVICE: The ISO has 25\.\d MiB, loop\d+ only 8\.0 MiB/);
	await run("sfdisk", [device], { input: "label: gpt\nsize=16M\nsize=16M\n" });
	// For a kernel that reads no partition tables itself; another one has done it already.
	await run("partx", ["--add", device], { accept: [0, 1] });
	await refused(`${device}p1`, ["--yes-really"], /^E_DEVICE: loop\d+p1 is a partition of loop\d+/);
	await run("mkfs.ext4", ["-q", "-L", "OLD", `${device}p1`]);
	await run("mkswap", [`${device}p2`]);
	const point = await tempDir();
	await run("mount", [`${device}p1`, point]);
	await run("swapon", [`${device}p2`]);
	try {
		await run("sync", []);
		await refused(
			device,
			["--yes-really"],
			new RegExp(`E_DEVICE: .* is mounted at ${point} .*[\\s\\S]*E_DEVICE: .* is used for swap`),
		);
		// What the facts did not show, the kernel refuses.
		await expect(openRawDisk(device)).rejects.toMatchObject({ code: "E_BUSY" });
	} finally {
		await run("umount", [point]);
		await run("swapoff", [`${device}p2`]);
	}
	const over = (await run("losetup", ["--find", "--show", device])).stdout.trim();
	await refused(device, ["--yes-really"], new RegExp(`E_DEVICE: ${basename(over)} lies on ${basename(device)}`));
	await run("losetup", ["--detach", over]);
	const fd = openSync(device, "r");
	const holder = spawn("sleep", ["600"], { stdio: [fd, "ignore", "ignore"] });
	closeSync(fd);
	await refused(device, ["--yes-really"], /E_DEVICE: loop\d+ is open in sleep \(\d+\)/);
	holder.kill();
	await once(holder, "exit");
	const { stderr } = await flash(iso, device, "--yes-really");
	expect(stderr).toContain(`p1  16.0 MiB  ext4  "OLD"`);
});

test("refuses the disk of this machine whatever is insisted on", async () => {
	const source = (await run("findmnt", ["--noheadings", "--output", "MAJ:MIN", "/"])).stdout.trim();
	const root = await readDisk("/", source);
	// A root without a disk of its own (NFS, memory) cannot be named here; then there is nothing to refuse either.
	expect(root).toBeDefined();
	const whole = `/dev/${root!.partitionOf ?? root!.name}`;
	const { exitCode, stderr } = await flash(iso, whole, "--yes", "--yes-really");
	expect(stderr).toMatch(/^E_DEVICE: .* holds \//);
	expect(exitCode).toBe(2);
});

test("asks on a terminal for the name of the disk, and writes for no other answer", async () => {
	const { device } = await disk(40 * MIB);
	const name = basename(device);
	const ask = (answer: string) => {
		const command = `${SLIPWAY} flash ${iso} ${device} --yes-really`;
		return run("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
			input: `${answer}\n`,
			accept: [0, 5],
			timeout: 600_000,
		});
	};
	const before = await readFile(device);
	for (const answer of ["yes", "", `${name}0`]) {
		const { exitCode, stdout } = await ask(answer);
		expect(stdout).toMatch(/EVERYTHING on loop\d+ will be lost[\s\S]*E_INTERRUPTED: .*Nothing was written/);
		expect(exitCode).toBe(5);
		expect((await readFile(device)).equals(before)).toBe(true);
	}
	expect(await ask(name)).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("read back and compared") });
	expect((await readFile(device)).subarray(0, bytes.length).equals(bytes)).toBe(true);
});

test("an ISO that is none, is cut off, or is not what lies beside it says, is refused before a byte is written", async () => {
	const { device } = await disk(40 * MIB);
	const signer = testSigner();
	const named = join(dir, "named.iso");
	const bad = async (name: string, change: (copy: Buffer) => Buffer) => {
		await writeFile(join(dir, name), change(Buffer.from(bytes)));
		return join(dir, name);
	};
	await refused(
		device,
		["--yes-really"],
		/^E_ISO: .* is not an ISO image/,
		await bad("none.iso", (copy) => copy.fill(0, 32768, 34816)),
	);
	await refused(
		device,
		["--yes-really"],
		/^E_TRUNCATED: /,
		await bad("cut.iso", (copy) => copy.subarray(0, -4 * 2048)),
	);
	await refused(
		device,
		["--yes-really"],
		/^E_ISO: .* starts from a disc only/,
		await bad("disc.iso", (copy) => copy.fill(0, 0, 1024)),
	);
	await copyFile(iso, named);
	await writeFile(`${named}.sha256`, `${"0".repeat(64)}  ${basename(named)}\n`);
	await refused(device, ["--yes-really"], /E_DIGEST_MISMATCH: .*its \.sha256 says 0000/, named);
	await writeFile(`${named}.sha256`, `${sha256Hex(bytes)}  ${basename(named)}\n`);
	const folder = await tempDir();
	const key = join(folder, "public_key.pem");
	await writeFile(key, signer.publicKeyPem);
	await refused(device, ["--yes-really", "--key", key], /E_UNSIGNED: /, named);
	await writeSignature(testSigner({ curve: "P-384" }), bytes, `${named}.sig.bin`);
	await refused(device, ["--yes-really", "--key", key], /E_SIG_INVALID: /, named);
	await writeSignature(signer, bytes, `${named}.sig.bin`);
	const { stdout } = await flash(named, device, "--yes-really", "--key", key, "--json");
	expect(JSON.parse(stdout)).toMatchObject({ checksum: true, signature: { keyId: signer.keyId } });
});

test("a byte that changes on the medium between writing and reading back is found past every cache", async () => {
	const { device, file } = await disk(40 * MIB);
	const raw = await openRawDisk(device);
	const fd = await open(iso);
	try {
		const at = 3 * PIECE + 12_345;
		const source = { fd, size: bytes.length, sha256: sha256Hex(bytes) };
		const transfer = { source, target: raw, memory: raw.memory, signal: new AbortController().signal };
		const pieces = await writeAll({ ...transfer, onProgress: () => undefined });
		const spoil = async () => {
			const medium = await open(file, "r+");
			await medium.write(Buffer.from([bytes[at]! ^ 1]), 0, 1, at);
			await medium.close();
		};
		await spoil();
		await expect(compareAll({ ...transfer, onProgress: () => undefined }, pieces)).rejects.toMatchObject({
			code: "E_DIGEST_MISMATCH",
			message: expect.stringContaining(`at byte ${at} `),
		});
		expect((await readFile(device)).subarray(0, PIECE).every((byte) => byte === 0)).toBe(true);
	} finally {
		await fd.close();
		await raw.close();
	}
});

test("Ctrl-C says that the stick is half written, and a medium that takes no more says so too", async () => {
	const large = await makeIso("large.iso", 384 * MIB);
	const { device } = await disk(400 * MIB);
	const interruptedAt = async (step: string) => {
		const child = spawn(SLIPWAY, ["flash", large, device, "--yes-really"], { stdio: ["ignore", "ignore", "pipe"] });
		let text = "";
		let sent = false;
		child.stderr.setEncoding("utf8").on("data", (part: string) => {
			text += part;
			if (!sent && text.includes(step)) sent = child.kill("SIGINT");
		});
		expect(await new Promise((resolve) => child.on("exit", resolve))).toBe(5);
		return { text, first: (await readFile(device)).subarray(0, PIECE) };
	};
	const early = await interruptedAt(" 1/3 check");
	expect(early.text).toMatch(/E_INTERRUPTED: Interrupted\. Nothing was written\./);
	expect(early.first.subarray(0, 3).toString()).toBe("old");
	const late = await interruptedAt(" 2/3 write");
	expect(late.text).toMatch(/E_INTERRUPTED: Interrupted\. loop\d+ is HALF WRITTEN: it starts nothing/);
	expect(late.first.every((byte) => byte === 0)).toBe(true);
	// A file that promises more than its file system has: the writes fail.
	const point = await tempDir();
	await run("mount", ["-t", "tmpfs", "-o", "size=12m", "tmpfs", point]);
	onTestFinished(async () => void (await run("umount", [point])));
	const file = join(point, "disk");
	await writeFile(file, "");
	await truncate(file, 40 * MIB);
	const loop = (await run("losetup", ["--find", "--show", file])).stdout.trim();
	onTestFinished(async () => void (await run("losetup", ["--detach", loop])));
	const { exitCode, stderr } = await flash(iso, loop, "--yes-really");
	expect(stderr).toMatch(/(E_IO|E_NO_SPACE): .* is HALF WRITTEN/);
	expect(exitCode).toBe(5);
});
