import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { run } from "../tools/run.ts";

const HOOK = join(import.meta.dirname, "pro-hook.sh");
const TOKEN = "C1canaryCANARYcanary1234567890";
const MACHINE = "machineCANARYmachine1234567890";
const RESOURCE = "resourceCANARYresource123456";

/** A root, and a `chroot` that does to it what the vendor's client does as far as the token goes. */
async function fakeRoot(extra = ""): Promise<{ root: string; env: Record<string, string>; log: string }> {
	const dir = await mkdtemp(join(tmpdir(), "slipway-pro-"));
	onTestFinished(() => rm(dir, { recursive: true, force: true }));
	const root = join(dir, "root");
	for (const folder of [
		"bin",
		"root/run",
		"root/etc/apt/auth.conf.d",
		"root/etc/apt/sources.list.d",
		"root/etc/ubuntu-advantage",
		"root/var/log/apt",
	]) {
		await mkdir(join(dir, folder), { recursive: true });
	}
	await writeFile(join(root, "etc/ubuntu-advantage/uaclient.conf"), "contract_url: https://vendor\nlog_level: debug\n");
	const log = join(dir, "calls.log");
	const script = `#!/bin/sh
root=$1; shift
while case $1 in env | *=*) true ;; *) false ;; esac; do shift; done
echo "$*" >>${log}
case "$1 $2" in
"pro attach")
	grep -q 'token: ${TOKEN}' "$root/run/slipway-pro.yaml" || exit 9
	test "$(cat "$root/etc/ubuntu-advantage/uaclient.conf")" = "$(printf 'contract_url: https://pro.site\nlog_level: debug')" || exit 8
	mkdir -p "$root/var/lib/ubuntu-advantage/private"
	echo '{"machineToken":"${MACHINE}","resourceTokens":[{"type":"fips","token":"${RESOURCE}"}],"id":"${TOKEN}"}' \\
		>"$root/var/lib/ubuntu-advantage/private/machine-token.json"
	echo "machine esm.test/ login bearer password ${RESOURCE}" >"$root/etc/apt/auth.conf.d/90ubuntu-advantage"
	echo ${TOKEN} >"$root/var/log/ubuntu-advantage.log"
	${extra}
	;;
"pro enable")
	printf '# a comment\ndeb https://esm/fips jammy main\ndeb-src  [ arch=amd64 ] https://esm/fips jammy main\n' \
		>"$root/etc/apt/sources.list.d/ubuntu-fips.list"
	printf 'Types: deb\nURIs: https://esm/fips\n\nTypes: deb\nURIs: https://esm/more\n' \
		>"$root/etc/apt/sources.list.d/ubuntu-esm.sources"
	;;
"apt-get update") cat "$root"/etc/apt/sources.list.d/* >${dir}/sources ;;
esac
`;
	await writeFile(join(dir, "bin/chroot"), script);
	await chmod(join(dir, "bin/chroot"), 0o755);
	await writeFile(join(dir, "token"), `${TOKEN}\n`, { mode: 0o600 });
	const env = {
		PATH: `${join(dir, "bin")}:/usr/bin:/bin`,
		SLIPWAY_PRO_TOKEN_FILE: join(dir, "token"),
		SLIPWAY_PRO_SERVICE: "fips",
		SLIPWAY_PRO_CONTRACTS: "https://pro.site",
		SLIPWAY_PRO_PACKAGES: "linux-image-fips openssl-fips-module-3",
	};
	return { root, env, log };
}

async function leaks(folder: string): Promise<string[]> {
	const entries = await readdir(folder, { recursive: true, withFileTypes: true });
	const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
	const texts = await Promise.all(files.map(async (file) => [file, await readFile(file, "utf8")] as const));
	return texts.filter(([, text]) => /C1canaryCANARY|CANARYmachine|CANARYresource/.test(text)).map(([file]) => file);
}

test("the token attaches the root, brings the packages, and is nowhere afterwards", async () => {
	const { root, env, log } = await fakeRoot();
	const { stdout, stderr } = await run("/bin/sh", [HOOK, root], { env });
	expect(await leaks(root)).toEqual([]);
	expect(stdout + stderr).not.toContain(TOKEN);
	const calls = (await readFile(log, "utf8")).trim().split("\n");
	expect(calls).toEqual([
		"pro attach --attach-config /run/slipway-pro.yaml",
		"pro enable --access-only --assume-yes fips",
		"apt-get update",
		"apt-get install --yes --no-install-recommends --allow-downgrades linux-image-fips openssl-fips-module-3",
		"pro detach --assume-yes",
		"apt-get purge --yes ubuntu-pro-client",
	]);
});

test("old lists of the vendor's are refused, whatever holds for those of the build", async () => {
	const { root, env } = await fakeRoot();
	await writeFile(join(root, "etc/apt/sources.list.d/own.list"), "deb http://archive jammy main\n");
	await run("/bin/sh", [HOOK, root], { env });
	expect((await readFile(join(root, "../sources"), "utf8")).trim().split("\n")).toEqual([
		"deb http://archive jammy main",
		...["Check-Valid-Until: yes", "Types: deb", "URIs: https://esm/fips", ""],
		...["Check-Valid-Until: yes", "Types: deb", "URIs: https://esm/more"],
		"# a comment",
		"deb [check-valid-until=yes] https://esm/fips jammy main",
		"deb-src [check-valid-until=yes  arch=amd64 ] https://esm/fips jammy main",
	]);
});

test("for images the packages are fetched, not installed, and the token stays behind", async () => {
	const { root, env, log } = await fakeRoot();
	await mkdir(join(root, "var/lib/apt/lists"), { recursive: true });
	await mkdir(join(root, "var/cache/slipway"), { recursive: true });
	await writeFile(join(root, "var/lib/apt/lists/esm_InRelease"), "Codename: jammy\n");
	await writeFile(join(root, "var/cache/slipway/openssl-fips-module-3_1_amd64.deb"), "package");
	const out = join(root, "../out");
	const { stdout, stderr } = await run("/bin/sh", [HOOK, root], { env: { ...env, SLIPWAY_PRO_DOWNLOAD: out } });
	expect(await readdir(join(out, "archives"))).toEqual(["openssl-fips-module-3_1_amd64.deb"]);
	expect(await readdir(join(out, "lists"))).toEqual(["esm_InRelease"]);
	expect([...(await leaks(root)), ...(await leaks(out))]).toEqual([]);
	expect(stdout + stderr).not.toContain(TOKEN);
	const calls = await readFile(log, "utf8");
	expect(calls).toMatch(/^apt-get install --download-only .*status=.* linux-image-fips openssl-fips-module-3$/m);
	expect(calls).toContain("pro detach --assume-yes");
});

test.each([
	["the user's token", TOKEN],
	["the machine's token", MACHINE],
	["a service's token", RESOURCE],
])("%s left in a place that nobody thought of stops the build", async (_, token) => {
	const { root, env } = await fakeRoot(`mkdir -p "$root/opt"; echo x${token}x >"$root/opt/new-place"`);
	await expect(run("/bin/sh", [HOOK, root], { env })).rejects.toMatchObject({
		code: "E_TOOL_FAILED",
		message: expect.stringMatching(/still in .*opt\/new-place/),
	});
});

test("a failure in between detaches and scrubs too", async () => {
	const { root, env, log } = await fakeRoot("exit 7");
	await expect(run("/bin/sh", [HOOK, root], { env })).rejects.toMatchObject({ code: "E_TOOL_FAILED" });
	expect(await leaks(root)).toEqual([]);
	expect(await readFile(log, "utf8")).toContain("pro detach --assume-yes");
});

test("a build that is stopped meanwhile detaches and scrubs too", async () => {
	const { root, env, log } = await fakeRoot("exec sleep 60");
	const stop = new AbortController();
	const stopped = run("/bin/sh", [HOOK, root], { env, signal: stop.signal });
	await expect.poll(() => leaks(root)).not.toEqual([]);
	stop.abort();
	await expect(stopped).rejects.toMatchObject({ code: "E_INTERRUPTED" });
	expect(await leaks(root)).toEqual([]);
	expect(await readFile(log, "utf8")).toContain("pro detach --assume-yes");
});
