import { readdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { rootImage } from "../../agent/preflight/root-image.ts";
import { makeBox, ROOT_ID, stub } from "../support/box.ts";

/** The box's scripts `prepare` and `failure` with made-up disks: what mounts where, what is refused, what is told. Needs root. */

const TYPE = "5afe510a-9b1d-4f2e-8c57-511b3a7d0001";

const partition = (path: string, type: string, label: string, fs: string) =>
	`PATH="${path}" PARTTYPE="${type}" PARTLABEL="${label}" FSTYPE="${fs}"\n`;

const MEMORY = "mount -t tmpfs -o size=50%,mode=0750,nosuid,nodev,noexec slipway-store /var/lib/slipway";

test("without a data disk the store lies in memory, with a cap", async () => {
	const box = await makeBox(partition("/dev/sda1", "0fc63daf-8483-4772-8e79-3d69d8477de4", "SLIPWAY-DATA", "ext4"));
	expect(await box.run("prepare")).toBe(0);
	expect(await box.read("calls")).toBe([MEMORY, "chown slipway:slipway /var/lib/slipway", ""].join("\n"));
});

test.each(["ext4", "xfs"])("one data partition with %s holds the store", async (fs) => {
	const box = await makeBox(partition("/dev/vda1", "", "", "") + partition("/dev/vdb1", TYPE, "SLIPWAY-DATA", fs));
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
])("refused and told, with the store in memory: %s", async (_what, disks, said) => {
	const box = await makeBox(disks);
	expect(await box.run("prepare")).toBe(0);
	const [code, cause] = (await box.read("run/slipway-boot/failure")).split("\n");
	expect(code).toBe("E_MEDIA");
	expect(cause).toContain(said);
	expect(await box.read("calls")).toBe([MEMORY, "chown slipway:slipway /var/lib/slipway", ""].join("\n"));
});

test("every refusal is told, and a data disk is mounted whatever becomes of the medium", async () => {
	const disk = partition("/dev/vdb1", TYPE, "SLIPWAY-DATA", "ext4");
	const box = await makeBox(disk);
	expect(await box.run("prepare")).toBe(0);
	expect(await box.read("calls")).toContain("/dev/vdb1 /var/lib/slipway\n");
	expect(await box.read("run/slipway-boot/medium")).toMatch(
		/^E_MEDIA\nThe medium of the root image 0123456789ab cannot be read\.\nInsert the medium .*\n$/,
	);
	const both = await makeBox(disk + disk);
	expect(await both.run("prepare")).toBe(0);
	expect(await both.read("run/slipway-boot/failure")).toMatch(
		/^E_MEDIA\nMore than one data partition: .*\nLeave .*\n$/,
	);
	expect(await both.read("run/slipway-boot/medium")).toMatch(/^E_MEDIA\nThe medium of /);
	expect(await both.run("prepare")).toBe(0);
	expect((await both.read("run/slipway-boot/failure")).split("\n")).toHaveLength(4); // of this run alone
});

test("prepare touches nothing in the agent's folder, whatever lies there", async () => {
	const box = await makeBox(partition("/dev/sda1", TYPE, "SLIPWAY-DATA", "vfat"));
	const agents = join(box.folder, "run/slipway");
	await writeFile(join(box.folder, "dev/target"), "as it was\n", { mode: 0o600 });
	for (const name of ["failure", "medium", "medium.new", "hardware.json"])
		await symlink("/dev/target", join(agents, name));
	const before = await readdir(agents);
	expect(await box.run("prepare")).toBe(0);
	expect(await box.read("dev/target")).toBe("as it was\n");
	expect((await stat(join(box.folder, "dev/target"))).mode & 0o777).toBe(0o600);
	expect(await readdir(agents)).toEqual(before);
	expect((await readdir(join(box.folder, "run/slipway-boot"))).sort()).toEqual(["failure", "medium", "start"]);
});

test("prepare notes how the box was started, in lines that the agent takes", async () => {
	const box = await makeBox();
	const hash = "ab".repeat(32);
	const table = `0 96 verity 1 7:0 7:0 4096 4096 12 13 sha256 ${hash} ${hash} 1 panic_on_corruption`;
	await stub(
		box.folder,
		"dmsetup",
		`case $* in "table slipway-root") echo "${table}" ;; *) echo "0 96 verity V" ;; esac`,
	);
	await stub(
		box.folder,
		"findmnt",
		"case $* in *' /') echo rw,lowerdir=/run/rootfsbase,upperdir=/run/overlayfs ;; *) echo /dev/mapper/slipway-root ;; esac",
	);
	await stub(box.folder, "od", "echo '   1'");
	await stub(box.folder, "stat", "echo tmpfs");
	await stub(box.folder, "readlink", 'echo "$2"');
	expect(await box.run("prepare")).toBe(0);
	const look = (verity: string) =>
		rootImage(join(box.folder, "run/slipway-boot"), { rootId: ROOT_ID, checkMedium: false, verity });
	expect(await look(`12:${hash}:${hash}`)).toEqual({
		status: { secureBoot: true, root: "integrity-checked" },
		faults: [],
	});
	expect((await look(`13:${hash}:${hash}`)).faults).toMatchObject([{ code: "E_ROOT_IMAGE" }]);
});

test("an agent that ended is spoken for, on console and in the status; one that said why it cannot start is not spoken over", async () => {
	const box = await makeBox();
	await stub(box.folder, "journalctl", "echo 'node: --force-fips requires \"fips\" \x1b[31m'");
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
