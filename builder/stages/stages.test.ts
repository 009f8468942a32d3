import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import type { Build } from "../plan/build.ts";
import type { StageContext } from "../plan/stage.ts";
import type { Profile } from "../profile/schema.ts";
import { run } from "../tools/run.ts";
import { appendHashTree } from "../tools/veritysetup.ts";
import { bundleAgent } from "./agent.ts";
import { checkMemory } from "./boot.ts";
import { mirrorFolders } from "./bootstrap.ts";
import { kernelLine, rootMark, volumeId } from "./kernel-line.ts";
import { overlay } from "./overlay.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const tar = async (...args: string[]) => (await promisify(execFile)("tar", args)).stdout;

async function scratch(): Promise<string> {
	const dir = await mkdtemp(join(tmpdir(), "slipway-stages-"));
	onTestFinished(() => rm(dir, { recursive: true, force: true }));
	return dir;
}

/** Runs the overlay stage of a project folder and gives the tar. */
async function overlayTar(root: string, names: string[]): Promise<string> {
	const out = await scratch();
	const build = { root, archiveEpoch: 1_700_000_000, profile: { overlays: names } } as unknown as Build;
	await overlay.run({ build, options: overlay.plan(build), out } as unknown as StageContext<
		ReturnType<typeof overlay.plan>
	>);
	return join(out, "overlay.tar");
}

test("an overlay's rights come from its manifest, whatever the checkout's are, and give the same bytes", async () => {
	const copy = await scratch();
	await cp(join(ROOT, "overlays"), join(copy, "overlays"), { recursive: true });
	const first = await overlayTar(copy, ["appliance"]);
	await run("chmod", ["-R", "u+rwX,go-rwx", join(copy, "overlays")]);
	const second = await overlayTar(copy, ["appliance"]);
	expect((await readFile(second)).equals(await readFile(first))).toBe(true);
	const list = await tar("-tvf", first);
	expect(list).toMatch(/^-rwxr-xr-x 0\/0 .* usr\/lib\/slipway\/prepare$/m);
	expect(list).toMatch(/^-rw-r--r-- 0\/0 .* usr\/lib\/systemd\/system\/slipway-agent\.service$/m);
	expect(list).toMatch(
		/multi-user\.target\.wants\/slipway-agent\.service -> \/usr\/lib\/systemd\/system\/slipway-agent\.service$/m,
	);
	expect(list).toMatch(/etc\/systemd\/system\/getty@\.service -> \/dev\/null$/m);
});

test("a finished root names no archive, nor a build host, and its dpkg is as careful as any", async () => {
	const root = await scratch();
	await mkdir(join(root, "etc/apt/sources.list.d"), { recursive: true });
	const dpkg = "etc/dpkg/dpkg.cfg.d/99mmdebstrap";
	await mkdir(join(root, dpkg, ".."), { recursive: true });
	await writeFile(join(root, dpkg), "force-unsafe-io\npath-exclude=/usr/share/doc/*\n");
	for (const name of [
		"etc/apt/sources.list",
		"etc/apt/sources.list.d/0000main.list",
		"etc/resolv.conf",
		"etc/hostname",
	])
		await writeFile(join(root, name), "deb http://mirror.test/ s main\n");
	const env = { SLIPWAY_FIPS_MODULE: "", SLIPWAY_BOOT_OUT: root, SLIPWAY_BOOT_PACKAGES: "" };
	await run(join(ROOT, "builder/stages/bootstrap-hook.sh"), [root], { env });
	const left = await readdir(root, { recursive: true });
	const folders = ["etc", "etc/apt", "etc/apt/sources.list.d", "etc/dpkg", "etc/dpkg/dpkg.cfg.d"];
	expect(left.sort()).toEqual([...folders, dpkg, "etc/machine-id"]);
	expect(await readFile(join(root, dpkg), "utf8")).toBe("path-exclude=/usr/share/doc/*\n");
});

test("the folders that a mirror lies in are seen in the workshop, those of a snapshot too", () => {
	const dated = "deb [check-valid-until=no] copy:/srv/m/20240301T030400Z trixie main";
	const lines = ["deb copy:///srv/a trixie main", "deb copy:/srv/b trixie main", dated, "deb http://m/x trixie main"];
	expect(mirrorFolders([...lines, dated])).toEqual(["/srv/a", "/srv/b", "/srv/m/20240301T030400Z"]);
});

test("an overlay that names a file it lacks is refused", async () => {
	const copy = await scratch();
	await mkdir(join(copy, "overlays/x/files"), { recursive: true });
	const manifest = 'apiVersion: slipway/v1\nkind: Overlay\ndescription: x\nfiles:\n  usr/bin/tool: { mode: "0755" }\n';
	await writeFile(join(copy, "overlays/x/overlay.yaml"), manifest);
	await expect(overlayTar(copy, ["x"])).rejects.toMatchObject({
		code: "E_PROFILE_VALUE",
		message: expect.stringContaining("usr/bin/tool"),
	});
});

test("the label and the mark carry the root image's id in a form that ISO 9660 and GRUB take", () => {
	const id = "0123456789abcdef".repeat(4);
	expect(volumeId(id)).toMatch(/^[A-Z0-9_]{1,32}$/);
	expect(rootMark(id)).toBe("/.disk/root-0123456789ab");
	const profile = { fips: true, kernel: { arguments: ["audit=1"] } } as never;
	const image = { rootId: id, verity: { blocks: 12, hash: "ab".repeat(32), salt: "cd".repeat(32) } };
	const verity = `slipway.verity=12:${image.verity.hash}:${image.verity.salt}`;
	expect(kernelLine(profile, image)).toEqual(
		expect.arrayContaining(["root=live:/dev/mapper/slipway-root", verity, "panic=60", "fips=1", "audit=1"]),
	);
	// dmsquash-live would take the file that these name, in place of the mapping.
	expect(kernelLine(profile, image).join(" ")).not.toMatch(/rd\.live\.(dir|squashimg|ram)|slipway\.ram/);
	expect(kernelLine({ ...(profile as Profile), root: "ram" }, image)).toContain("slipway.ram=1");
	const onArch = (arch: Profile["arch"]) => kernelLine({ ...(profile as Profile), arch }, image);
	expect(onArch("amd64")).toContain("no_timer_check");
	expect(onArch("arm64")).not.toContain("no_timer_check");
});

test("the hash tree stands behind the data, gives the same bytes each time, and finds one wrong bit", async () => {
	const dir = await scratch();
	const salt = "5a".repeat(32);
	const data = Buffer.alloc(200 * 4096, "slipway");
	const make = async (name: string) => {
		const file = join(dir, name);
		await writeFile(file, data);
		return { file, verity: await appendHashTree(run, file, data.length, salt, dir) };
	};
	const [one, two] = [await make("one"), await make("two")];
	expect(two.verity).toEqual(one.verity);
	expect(one.verity).toMatchObject({ blocks: 200, salt, hash: expect.stringMatching(/^[0-9a-f]{64}$/) });
	const bytes = await readFile(one.file);
	expect(bytes.equals(await readFile(two.file))).toBe(true);
	expect(bytes.subarray(0, data.length).equals(data)).toBe(true);
	const verify = ["verify", "--hash-offset", String(data.length), one.file, one.file, one.verity.hash];
	await run("veritysetup", verify);
	bytes[100 * 4096]! ^= 1;
	await writeFile(one.file, bytes);
	await expect(run("veritysetup", verify)).rejects.toMatchObject({ code: "E_TOOL_FAILED" });
});

test("a root in memory needs a machine that the profile asks for", () => {
	checkMemory(1536, 512 * 2 ** 20);
	expect(() => checkMemory(1536, 512 * 2 ** 20 + 1)).toThrow(
		expect.objectContaining({ code: "E_PROFILE_VALUE", message: expect.stringContaining("at least 1537") }),
	);
});

test("the agent's script starts, with the same bytes from any folder, and leaves to others what few starts need", async () => {
	const [dir, other] = [await scratch(), await scratch()];
	const names = await bundleAgent(join(ROOT, "agent/cli.ts"), dir);
	expect(await bundleAgent(join(ROOT, "agent/cli.ts"), other)).toEqual(names);
	for (const name of names) {
		const script = await readFile(join(dir, name), "utf8");
		expect(script).toBe(await readFile(join(other, name), "utf8"));
		expect(script).not.toContain(ROOT);
	}
	expect((await readdir(dir)).sort()).toEqual([...names].sort());
	const main = await readFile(join(dir, "agent.mjs"), "utf8");
	for (const library of ["yaml", "systeminformation", "prom-client", "ajv"])
		expect(main).not.toContain(`node_modules/${library}/`);
	const { stdout } = await run(process.execPath, [join(dir, "agent.mjs"), "--help"], { cwd: dir });
	expect(stdout).toContain("slipway agent --config FILE");
});

test("the units keep the exposure that was promised", async () => {
	const units = join(ROOT, "overlays/appliance/files/usr/lib/systemd/system");
	const check = (most: number, unit: string) =>
		run("systemd-analyze", ["security", "--offline=true", `--threshold=${most}`, join(units, unit)]);
	await check(15, "slipway-agent.service");
	await check(15, "slipway-failure@.service");
	// It mounts for the others, so it can be given no name space of its own.
	await check(45, "slipway-medium.service");
	const loose = join(await scratch(), "slipway-agent.service");
	const text = await readFile(join(units, "slipway-agent.service"), "utf8");
	await writeFile(loose, text.replace(/^(SystemCallFilter|CapabilityBoundingSet|ProtectSystem)=.*$/gm, ""));
	await expect(run("systemd-analyze", ["security", "--offline=true", "--threshold=15", loose])).rejects.toMatchObject({
		code: "E_TOOL_FAILED",
	});
});
