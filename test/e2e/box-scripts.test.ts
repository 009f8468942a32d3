import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
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

const MEMORY = "mount -t tmpfs -o size=50%,mode=0750,nosuid,nodev,noexec slipway-store /var/lib/slipway";
const MEDIUM = [
	"mount --bind /run/initramfs/live /run/slipway/medium",
	"mount -o remount,bind,ro,nosuid,nodev,noexec /run/slipway/medium",
];

test("without a data disk the store lies in memory, with a cap; the medium is bound read-only", async () => {
	const box = await makeBox({
		disks: partition("/dev/sda1", "0fc63daf-8483-4772-8e79-3d69d8477de4", "SLIPWAY-DATA", "ext4"),
	});
	expect(await box.run("prepare")).toBe(0);
	expect(await box.read("calls")).toBe([MEMORY, "chown slipway:slipway /var/lib/slipway", ...MEDIUM, ""].join("\n"));
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
])("refused and told, with the store in memory and the medium there: %s", async (_what, disks, said) => {
	const box = await makeBox({ disks });
	expect(await box.run("prepare")).toBe(0);
	const [code, cause] = (await box.read("run/slipway/failure")).split("\n");
	expect(code).toBe("E_MEDIA");
	expect(cause).toContain(said);
	const calls = (await box.read("calls")).split("\n");
	expect(calls.filter((call) => call.includes("/var/lib/slipway"))).toEqual([
		MEMORY,
		"chown slipway:slipway /var/lib/slipway",
	]);
	expect(calls).toEqual(expect.arrayContaining(MEDIUM));
});

test("a stick shows up as disk and partition and is one medium; two sticks with one label are refused", async () => {
	const stick = `NAME="sda" PKNAME="" LABEL="${LABEL}"\nNAME="sda1" PKNAME="sda" LABEL="${LABEL}"\n`;
	const one = await makeBox({ labels: stick });
	expect(await one.run("prepare")).toBe(0);
	expect(await one.read("calls")).toContain(MEDIUM[0]);
	await expect(one.read("run/slipway/failure")).rejects.toMatchObject({ code: "ENOENT" });
	const two = await makeBox({ labels: `${stick}NAME="sr0" PKNAME="" LABEL="${LABEL}"\n` });
	expect(await two.run("prepare")).toBe(0);
	expect(await two.read("calls")).not.toContain("medium");
	expect(await two.read("run/slipway/failure")).toMatch(/^E_MEDIA\nMore than one medium has the label .*sda sr0/);
});

test("a medium of another root image is not taken; a data disk is mounted all the same, and every refusal is told", async () => {
	const disk = partition("/dev/vdb1", TYPE, "SLIPWAY-DATA", "ext4");
	const box = await makeBox({ mark: "f".repeat(64), disks: disk });
	expect(await box.run("prepare")).toBe(0);
	const calls = await box.read("calls");
	expect(calls).toContain("/dev/vdb1 /var/lib/slipway\n");
	expect(calls).not.toContain("medium");
	expect(await box.read("run/slipway/failure")).toMatch(
		/^E_MEDIA\nThe medium of the root image 0123456789abcdef.* cannot be read\.\nInsert the medium .*\n$/,
	);
	const both = await makeBox({ mark: "f".repeat(64), disks: disk + disk });
	expect(await both.run("prepare")).toBe(0);
	expect((await both.read("run/slipway/failure")).split("\n").filter((line) => line === "E_MEDIA")).toHaveLength(2);
});

test("prepare does not write through a link that lies in the agent's folder", async () => {
	const box = await makeBox({ mark: "f".repeat(64) });
	await symlink("/dev/target", join(box.folder, "run/slipway/failure"));
	await symlink("/dev/target", join(box.folder, "run/slipway/medium.json.new"));
	expect(await box.run("prepare")).toBe(0);
	await expect(box.read("dev/target")).rejects.toMatchObject({ code: "ENOENT" });
	expect(await box.read("run/slipway/failure")).toMatch(/^E_MEDIA\n/);
});

test("an agent that ended is spoken for, on console and in the status; one that said why it cannot start is not spoken over", async () => {
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
	const said = await box.read("dev/tty1");
	expect(said).toMatch(/^E_FIPS_INACTIVE: .*--force-fips requires.*\r\n {2}Next: Use/m);
	expect(said).toMatch(/^slipway: state=failed\r$/m);

	const write = async (condition: string) => {
		const own = `${JSON.stringify({ stage: "failed", conditions: [{ name: condition, ok: false }] }, null, "\t")}\n`;
		await writeFile(join(box.folder, "run/slipway/status.json"), own);
		expect(await box.run("failure", "slipway-agent")).toBe(0);
		return (await box.read("run/slipway/status.json")) === own;
	};
	expect(await write("start")).toBe(true);
	expect(await write("content")).toBe(false); // it failed, went on to tell, and then ended without a word
});
