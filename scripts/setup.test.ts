import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "../builder/tools/run.ts";

/** The host's programs are those of one folder, so that what is missing does not depend on who runs the test. */
let bin: string;
beforeEach(async () => {
	bin = await mkdtemp(path.join(tmpdir(), "slipway-setup-"));
	for (const name of ["sh", "env", "uname"]) await symlink(`/usr/bin/${name}`, path.join(bin, name));
	await program("id", "echo 1000");
	await program("apt-get", `echo "$@" >>${bin}/calls`);
	// What would change the host is noted, not done.
	for (const name of ["ln", "mkdir"]) await program(name, `echo ${name} "$@" >>${bin}/calls`);
});
afterEach(() => rm(bin, { recursive: true }));

async function program(name: string, script: string): Promise<void> {
	await writeFile(path.join(bin, name), `#!/bin/sh\n${script}\n`);
	await chmod(path.join(bin, name), 0o755);
}

function setup(...purposes: string[]) {
	return run(path.join(import.meta.dirname, "setup"), purposes, { env: { PATH: bin }, accept: [0, 2, 4] });
}

test("without root and sudo it installs nothing and prints the exact command", async () => {
	await program("sudo", "exit 1");
	const { exitCode, stderr } = await setup("iso");
	expect(exitCode).toBe(4);
	expect(stderr).toMatch(/^E_TOOL_MISSING: /);
	expect(stderr).toMatch(
		/apt-get update && apt-get install --yes --no-install-recommends .*mmdebstrap .*squashfs-tools .*xorriso/,
	);
	await expect(readFile(path.join(bin, "calls"))).rejects.toMatchObject({ code: "ENOENT" });
});

test("as root or through sudo it installs exactly what is missing, and nothing when all is there", async () => {
	await program("sudo", '[ "$1" = -n ] && exit 0; exec "$@"');
	await program("zstd", "");
	expect((await setup("test")).exitCode).toBe(0);
	const calls = await readFile(path.join(bin, "calls"), "utf8");
	expect(calls).toMatch(/^update .*\ninstall .*umoci docker-registry .*apache2-utils.* openssl/m);
	// Before the installation, which would start it.
	expect(calls).toMatch(/^mkdir .*\nln -sf \/dev\/null \/etc\/systemd\/system\/docker-registry\.service\n/);
	expect(calls).not.toContain("zstd");
	const script = await readFile(path.join(import.meta.dirname, "setup"), "utf8");
	for (const [, name] of script.matchAll(/^\t\tneed ([a-z0-9._-]+) /gim)) await program(name as string, "");
	await writeFile(path.join(bin, "calls"), "");
	expect((await setup("test")).exitCode).toBe(0);
	expect(await readFile(path.join(bin, "calls"), "utf8")).toBe("");
});

test("a failed installation and a wrong purpose are errors", async () => {
	await program("id", "echo 0");
	await program("apt-get", "exit 100");
	expect(await setup("boot")).toMatchObject({ exitCode: 4, stderr: expect.stringContaining("could not be installed") });
	expect((await setup("everything")).exitCode).toBe(2);
});

test("an emulator is registered with the kernel only for what needs that, with one command that says so", async () => {
	await program("sudo", "exit 1");
	for (const name of ["qemu-aarch64-static", "qemu-x86_64-static", "arch-test"]) await program(name, "");
	expect((await setup("foreign")).exitCode).toBe(0);
	const registered = ["aarch64", "x86_64"].some((arch) => existsSync(`/proc/sys/fs/binfmt_misc/qemu-${arch}`));
	if (registered) return expect((await setup("emulated")).exitCode).toBe(0);
	const { exitCode, stderr } = await setup("emulated");
	expect(exitCode).toBe(4);
	expect(stderr).toMatch(/Next: As root, run: scripts\/setup emulated$/m);
});
