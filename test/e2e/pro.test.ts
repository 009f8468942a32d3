import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { PlainMonitor } from "../../builder/monitor/plain.ts";
import { planBuild } from "../../builder/plan/plan.ts";
import { checkProfile, prepareBuild } from "../../builder/plan/prepare.ts";
import { runPlan } from "../../builder/plan/run-plan.ts";
import { STAGES } from "../../builder/stages/index.ts";
import { run } from "../../builder/tools/run.ts";
import { projectRoot } from "../support/packs.ts";
import { type ProArchive, proArchive } from "../support/pro-archive.ts";
import { tempDir } from "../support/temp.ts";

/**
 * FIPS packages from a private pocket that demands a token: the stage that gets it, with its real hook, against an archive and a
 * service on loopback. Needs root and, once, Debian's archive.
 */

let dir: string;
let pro: ProArchive;

beforeAll(async () => {
	dir = await tempDir();
	pro = await proArchive(dir);
	const mirrors = `  ubuntu-24.04:\n    mirror: ${pro.server.url}\n    keyring: ${pro.archive.key.keyring}\n    contracts: ${pro.server.url}\n`;
	await writeFile(join(dir, "mirrors.yaml"), `apiVersion: slipway/v1\nkind: Mirrors\nbases:\n${mirrors}`);
	vi.stubEnv("MIRRORS", join(dir, "mirrors.yaml"));
	vi.stubEnv("PRO_TOKEN_FILE", join(dir, "token"));
});
afterAll(async () => {
	vi.unstubAllEnvs();
	await pro?.close();
});

/** Runs the stage in a cache of its own. */
async function bootstrap(cacheDir: string) {
	const request = { root: projectRoot, profile: "vertex-fips-amd64", base: "ubuntu-24.04", env: { ...process.env } };
	const { signal } = new AbortController();
	const build = await prepareBuild(request, await checkProfile(request), { offline: false, signal });
	const first = STAGES.slice(0, STAGES.findIndex((stage) => stage.name === "bootstrap") + 1);
	const shown: string[] = [];
	const monitor = new PlainMonitor({ write: (text: string) => shown.push(text) > 0 });
	const stages = await runPlan(await planBuild({ ...build, cacheDir }, first), { signal, monitor, env: request.env });
	return { out: stages.at(-1)!.out, shown: shown.join("") };
}

async function writeToken(token: string): Promise<void> {
	await writeFile(join(dir, "token"), `${token}\n`, { mode: 0o600 });
}

/** Files with any of the tokens in them, in a folder and in the tars there. */
async function leaks(folder: string): Promise<string[]> {
	const words = pro.tokens.flatMap((token) => ["-e", token]);
	const { stdout } = await run("grep", ["-rlaF", ...words, folder], { accept: [0, 1] });
	return stdout.split("\n").filter(Boolean);
}

test("the token brings the vendor's packages, and is in no output, log or cache", async () => {
	const cacheDir = join(dir, "cache");
	await writeToken(pro.token);
	const { out, shown } = await bootstrap(cacheDir);
	const packages = JSON.parse(await readFile(join(out, "packages.json"), "utf8"));
	expect(packages).toMatchObject({
		"linux-image-fips": "6.8.0-1000.1",
		"openssl-fips-module-3": "3.0.13-0ubuntu3+Fips1",
	});
	expect(packages).not.toHaveProperty("ubuntu-pro-client");
	const { stdout } = await run("tar", ["-tf", join(out, "root.tar")]);
	expect(stdout).toContain("./etc/slipway/fipsmodule.cnf");
	expect(stdout).not.toMatch(/ubuntu-advantage|ubuntu-fips|auth\.conf\.d\/./);
	expect(pro.server.asked).toContain("/pro/fips-updates/ubuntu/dists/noble-updates/InRelease");
	expect(await leaks(cacheDir)).toEqual([]);
	for (const token of pro.tokens) expect(shown).not.toContain(token);
});

test("a token that is refused is told before anything else is asked of the network", async () => {
	const wrong = "C1wrongCANARY0123456789abcdef";
	await writeToken(wrong);
	const before = pro.server.asked.length;
	const args = ["build", "vertex-fips-amd64", "--base", "ubuntu-24.04", "--refresh"];
	const env = { MIRRORS: join(dir, "mirrors.yaml"), PRO_TOKEN_FILE: join(dir, "token") };
	const refused = await run(join(projectRoot, "slipway"), args, { env, accept: [4] });
	expect(refused.stderr).toMatch(/^E_PRO_TOKEN: Ubuntu Pro refused the token .*401.*\n {2}Next: .*PRO_TOKEN_FILE/);
	expect(inspect(refused)).not.toContain(wrong);
	expect(pro.server.asked.slice(before)).toEqual(["/v1/contract"]);
});
