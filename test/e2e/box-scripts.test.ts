import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { run } from "../../builder/tools/run.ts";

/** The root's two shell scripts, with made-up disks: what mounts where, and what is refused. Needs root. */

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const SCRIPTS = join(ROOT, "overlays/appliance/files/usr/lib/slipway");
const ROOT_ID = "0123456789abcdef".repeat(4);
const BUILD_ID = "fedcba9876543210".repeat(4);
const TYPE = "5afe510a-9b1d-4f2e-8c57-511b3a7d0001";
const LABEL = "SLIPWAY_0123456789AB";

interface Box {
	readonly folder: string;
	read(path: string): Promise<string>;
	run(script: string, ...args: string[]): Promise<number>;
}

/** `disks`: lsblk's answers, one line a device, as KEY="value" words in the order asked for. */
async function makeBox(o: { labels?: string; disks?: string; mark?: string } = {}): Promise<Box> {
	const folder = await mkdtemp(join(tmpdir(), "slipway-box-"));
	onTestFinished(() => rm(folder, { recursive: true, force: true }));
	const medium = join(folder, "run/initramfs/live/.disk");
	for (const path of [join(folder, "bin"), join(folder, "run/slipway"), join(folder, "dev"), medium])
		await mkdir(path, { recursive: true });
	await writeFile(join(folder, "cmdline"), `root=live:x slipway.root=${ROOT_ID} quiet\n`);
	await writeFile(join(medium, "root-0123456789ab"), `${o.mark ?? ROOT_ID}\n`);
	await writeFile(join(medium, "slipway-build-id"), `${BUILD_ID}\n`);
	await writeFile(join(folder, "labels"), o.labels ?? `NAME="sr0" PKNAME="" LABEL="${LABEL}"\n`);
	await writeFile(join(folder, "disks"), o.disks ?? "");
	const stubs = {
		lsblk: 'case $* in *PARTTYPE*) cat "$FOLDER/disks" ;; *) cat "$FOLDER/labels" ;; esac',
		findmnt: `case $* in *LABEL*) echo ${LABEL} ;; *) echo /dev/sr0 ;; esac`,
		mount: 'echo "mount $*" >>"$FOLDER/calls"',
		chown: 'echo "chown $*" >>"$FOLDER/calls"',
	};
	for (const [name, text] of Object.entries(stubs)) {
		await writeFile(join(folder, "bin", name), `#!/bin/sh\n${text}\n`);
		await chmod(join(folder, "bin", name), 0o755);
	}
	await writeFile(join(folder, "calls"), "");
	const box = join(ROOT, "test/support/box.sh");
	return {
		folder,
		read: (path) => readFile(join(folder, path), "utf8"),
		run: async (script, ...args) => {
			const argv = ["--mount", "--propagation=private", "--", box, folder, join(SCRIPTS, script), ...args];
			return (await run("unshare", argv, { accept: [0, 1] })).exitCode;
		},
	};
}

const partition = (path: string, type: string, label: string, fs: string) =>
	`PATH="${path}" PARTTYPE="${type}" PARTLABEL="${label}" FSTYPE="${fs}"\n`;

test("without a data disk the store lies in memory, with a cap; the medium is bound read-only", async () => {
	const box = await makeBox({
		disks: partition("/dev/sda1", "0fc63daf-8483-4772-8e79-3d69d8477de4", "SLIPWAY-DATA", "ext4"),
	});
	expect(await box.run("prepare")).toBe(0);
	expect(await box.read("calls")).toBe(
		[
			"mount --bind /run/initramfs/live /run/slipway/medium",
			"mount -o remount,bind,ro,nosuid,nodev,noexec /run/slipway/medium",
			"mount -t tmpfs -o size=50%,mode=0750,nosuid,nodev,noexec slipway-store /var/lib/slipway",
			"chown slipway:slipway /var/lib/slipway",
			"",
		].join("\n"),
	);
	expect(JSON.parse(await box.read("run/slipway/medium.json"))).toEqual({
		buildId: BUILD_ID,
		rootId: ROOT_ID,
		device: "/dev/sr0",
	});
});

test.each(["ext4", "xfs"])("one data partition with %s holds the store", async (fs) => {
	const box = await makeBox({
		disks: partition("/dev/vda1", "", "", "") + partition("/dev/vdb1", TYPE, "SLIPWAY-DATA", fs),
	});
	expect(await box.run("prepare")).toBe(0);
	expect(await box.read("calls")).toContain(`mount -t ${fs} -o nosuid,nodev,noexec /dev/vdb1 /var/lib/slipway\n`);
});

test.each([
	[
		"two data partitions",
		partition("/dev/sda1", TYPE, "SLIPWAY-DATA", "ext4") + partition("/dev/sdb1", TYPE, "SLIPWAY-DATA", "ext4"),
		"/dev/sda1 /dev/sdb1",
	],
	["another file system", partition("/dev/sda1", TYPE, "SLIPWAY-DATA", "vfat"), "/dev/sda1 holds vfat"],
	["no file system", partition("/dev/sda1", TYPE, "SLIPWAY-DATA", ""), "holds no file system"],
])("refused and told: %s", async (_what, disks, said) => {
	const box = await makeBox({ disks });
	expect(await box.run("prepare")).toBe(1);
	const [code, cause] = (await box.read("run/slipway/failure")).split("\n");
	expect(code).toBe("E_MEDIA");
	expect(cause).toContain(said);
	expect(await box.read("calls")).not.toContain("/var/lib/slipway");
});

test("a stick shows up as disk and partition and is one medium; two sticks with one label are refused", async () => {
	const stick = `NAME="sda" PKNAME="" LABEL="${LABEL}"\nNAME="sda1" PKNAME="sda" LABEL="${LABEL}"\n`;
	expect(await (await makeBox({ labels: stick })).run("prepare")).toBe(0);
	const two = await makeBox({ labels: `${stick}NAME="sr0" PKNAME="" LABEL="${LABEL}"\n` });
	expect(await two.run("prepare")).toBe(1);
	expect(await two.read("run/slipway/failure")).toMatch(/^E_MEDIA\nMore than one medium has the label .*sda sr0/);
});

test("a medium of another root image is not taken, and the failure unit says so on the console and in the status", async () => {
	const box = await makeBox({ mark: "f".repeat(64) });
	expect(await box.run("prepare")).toBe(1);
	expect(await box.read("calls")).toBe("");
	expect(await box.run("failure", "slipway-prepare")).toBe(0);
	const said = await box.read("dev/tty1");
	expect(said).toMatch(
		/^E_MEDIA: The medium of the root image 0123456789abcdef.* cannot be read\.\r\n {2}Next: Insert/m,
	);
	expect(said).toMatch(/^slipway: state=failed\r$/m);
	expect(JSON.parse(await box.read("run/slipway/status.json"))).toMatchObject({
		stage: "failed",
		lastError: { code: "E_MEDIA", next: expect.stringContaining("Insert the medium") },
	});
});

test("an agent that could not start is spoken for; one that spoke for itself is not spoken over", async () => {
	const box = await makeBox();
	await writeFile(
		join(box.folder, "bin/journalctl"),
		"#!/bin/sh\necho 'node: --force-fips requires \"fips\" \x1b[31m'\n",
	);
	await chmod(join(box.folder, "bin/journalctl"), 0o755);
	expect(await box.run("failure", "slipway-agent")).toBe(0);
	const status = JSON.parse(await box.read("run/slipway/status.json"));
	expect(status.lastError).toMatchObject({
		code: "E_FIPS_INACTIVE",
		cause: expect.stringContaining("--force-fips requires"),
	});
	const own = `${JSON.stringify({ stage: "failed", lastError: { code: "E_DIGEST_MISMATCH" } }, null, "\t")}\n`;
	await writeFile(join(box.folder, "run/slipway/status.json"), own);
	expect(await box.run("failure", "slipway-agent")).toBe(0);
	expect(await box.read("run/slipway/status.json")).toBe(own);
});
