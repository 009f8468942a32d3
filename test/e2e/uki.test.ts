import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readStatus } from "../../builder/boot/check.ts";
import { type GuestOptions, startGuest } from "../../builder/boot/guest.ts";
import { clean } from "../../builder/boot/serial.ts";
import { waitReady } from "../../builder/boot/wait.ts";
import { run } from "../../builder/tools/run.ts";
import { bootNext } from "../support/boot-option.ts";

/**
 * `boot: uki` with a key of the test's own, which is then the only one that the firmware knows; over the smallest profile, shown on the
 * network so that its status can be asked. Needs root, the package archive and QEMU. That every shipped profile plans so:
 * golden-plans.test.ts.
 */

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
/** What somebody in front of the machine would like to add, where the kernel would tell it on the serial port. */
const OUTSIDE = bootNext("\\EFI\\BOOT\\BOOTX64.EFI", "console=ttyS0 panic=5 rdinit=/outside");
const PATIENCE = { timeout: 20 * 60_000, interval: 1000 };

let dir: string;
let built: { iso: string; folder: string; name: string };
let env: Record<string, string>;
beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-uki-e2e-"));
	env = { UKI_KEY: join(dir, "uki.key"), UKI_CERT: join(dir, "uki.pem") };
	const files = ["-keyout", env.UKI_KEY!, "-out", env.UKI_CERT!];
	await run("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=site", ...files]);
	const profile = join(dir, "minimal-uki.yaml");
	const lines = [
		"apiVersion: slipway/v1",
		"kind: Profile",
		`extends: [${ROOT}/profiles/minimal-amd64.yaml]`,
		"boot: uki",
		"network: { expose: lan }",
	];
	await writeFile(profile, `${lines.join("\n")}\n`);
	const args = ["build", profile, "--base", "debian-13", "--json"];
	built = JSON.parse((await run(join(ROOT, "slipway"), args, { cwd: ROOT, env })).stdout);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test("one signed program and its certificate, UEFI alone, the private key nowhere", async () => {
	const report = ["-indev", built.iso, "-report_el_torito", "plain", "-find", "/", "-type", "f"];
	const { stdout } = await run("xorriso", report);
	expect(stdout).toMatch(/^El Torito boot img : +1 +UEFI +y /m);
	expect(stdout).not.toMatch(/BIOS|initrd|grub/i);
	const key = (await readFile(env.UKI_KEY!, "utf8")).split("\n")[5]!;
	const { exitCode } = await run("grep", ["-raqF", key, built.folder, join(ROOT, ".cache/logs")], { accept: [0, 1] });
	expect(exitCode).toBe(1);
});

test("with Secure Boot and this key alone it becomes ready, calls its root authenticated, and takes no words from outside", async () => {
	const { guest, serial } = await start("secure", built.iso, "uefi-secureboot");
	try {
		const options = { serialLog: serial, statusPort: guest.ports[0]!, timeoutMs: PATIENCE.timeout, ended: guest.ended };
		const status = await waitReady({ ...options, signal: new AbortController().signal, onState: () => undefined });
		expect(await readStatus(status!)).toMatchObject({ boot: { secureBoot: true, root: "authenticated" } });
		const said = await text(serial);
		expect(said).toMatch(/starting Boot5AFE "outside"/);
		expect(said).not.toContain("rdinit");
	} finally {
		await guest.stop();
	}
});

test("the same words do reach a kernel that nobody protects, so that the test above proves something", async () => {
	const { guest, serial } = await start("open", built.iso, "uefi");
	try {
		await expect.poll(() => text(serial), PATIENCE).toMatch(/Kernel command line: .*rdinit=\/outside/);
	} finally {
		await guest.stop();
	}
});

test("with one byte changed it does not start", async () => {
	const changed = join(dir, "changed.iso");
	await run("cp", ["--reflink=auto", built.iso, changed]);
	const at = (await run("grep", ["-aobF", "rd.shell=0", changed])).stdout.split("\n");
	// The kernel line, in the program alone.
	expect(at).toHaveLength(1);
	const file = await open(changed, "r+");
	await file.write("1", Number(at[0]!.split(":")[0]) + "rd.shell=".length);
	await file.close();
	const { guest, serial } = await start("changed", changed, "uefi-secureboot");
	try {
		await expect.poll(() => text(serial), PATIENCE).toMatch(/Access Denied|Security Violation/);
		await expect.poll(() => text(serial), PATIENCE).toMatch(/No bootable option or device was found/);
		expect(await text(serial)).not.toMatch(/EFI stub|Linux version|slipway:/);
	} finally {
		await guest.stop();
	}
});

async function start(name: string, iso: string, firmware: GuestOptions["firmware"]) {
	const work = join(dir, name);
	const serial = join(dir, `${name}.log`);
	await mkdir(work);
	const machine = { arch: "amd64", media: "cd", memory: 1536, disk: null, ports: [8080], ownKey: true } as const;
	const signal = new AbortController().signal;
	const guest = await startGuest({
		...machine,
		firmware,
		iso,
		work,
		run,
		signal,
		serialLog: serial,
		variables: OUTSIDE,
	});
	return { guest, serial };
}

async function text(serial: string): Promise<string> {
	return clean(await readFile(serial, "latin1").catch(() => ""));
}
