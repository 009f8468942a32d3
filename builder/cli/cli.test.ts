import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { run } from "../tools/run.ts";
import { projectRoot } from "./command.ts";
import { errorsIn, errorText } from "./report.ts";

const dir = await mkdtemp(path.join(tmpdir(), "slipway-cli-"));
afterAll(() => rm(dir, { recursive: true }));

/** Runs the real command line, with no variable of this process. */
async function slipway(args: string[], env: Record<string, string> = {}) {
	return run(path.join(projectRoot, "slipway"), args, { accept: [0, 2, 3, 4, 5, 6], cwd: projectRoot, env });
}

async function profile(name: string, text: string): Promise<string> {
	const file = path.join(dir, `${name}.yaml`);
	await writeFile(file, `apiVersion: slipway/v1\nkind: Profile\n${text}`);
	return file;
}

test("every kind of bad profile is told with place, code, cause and next step, and never with a stack", async () => {
	const file = await profile("bad", "fipps: true\narch: mips\noverlays: [nonesuch]\n");
	const { exitCode, stdout, stderr } = await slipway(["validate", file]);
	expect(exitCode).toBe(2);
	expect(stdout).toBe("");
	expect(stderr).toContain("bad.yaml:3:1: E_PROFILE_KEY: Unknown key `fipps`. Did you mean `fips`?\n  Next: ");
	expect(stderr).toContain("bad.yaml:4:7: E_PROFILE_VALUE: ");
	expect(stderr).toContain("bad.yaml:5:12: E_OVERLAY_NOT_FOUND: ");
	expect(stderr).not.toContain("    at ");
	expect((await slipway(["validate", file, "--debug"])).stderr).toContain("    at ");
	const json = await slipway(["validate", file, "--json"]);
	expect(json.exitCode).toBe(2);
	expect(JSON.parse(json.stdout).errors).toContainEqual(
		expect.objectContaining({
			code: "E_PROFILE_KEY",
			exitCode: 2,
			at: { file: expect.stringContaining("bad.yaml"), line: 3, col: 1 },
		}),
	);
});

test("a FIPS profile on a base with Ubuntu Pro needs a token, and the error names both ways out", async () => {
	const refused = await slipway(["build", "vertex-fips-amd64"]);
	expect(refused.exitCode).toBe(4);
	expect(refused.stderr).toMatch(/E_PRO_TOKEN: .*linux-image-fips.*\n {2}Next: .*PRO_TOKEN_FILE.*BASE=debian-13/);
	expect((await slipway(["validate", "--for-build", "vertex-fips-amd64"])).exitCode).toBe(4);
	expect((await slipway(["validate", "--for-build", "vertex-fips-amd64"], { BASE: "debian-13" })).exitCode).toBe(0);
	for (const [name, text] of Object.entries({ missing: undefined, empty: "\n" })) {
		const PRO_TOKEN_FILE = path.join(dir, name);
		if (text !== undefined) await writeFile(PRO_TOKEN_FILE, text);
		const { exitCode, stderr } = await slipway(["validate", "--for-build", "vertex-fips-amd64"], { PRO_TOKEN_FILE });
		expect(exitCode).toBe(4);
		expect(stderr).toMatch(new RegExp(`^E_PRO_TOKEN: .*/${name} .*\n {2}Next: `));
	}
	// `make` passes unset variables on as empty ones.
	expect((await slipway(["validate", "vertex-fips-amd64"], { BASE: "", MIRROR: "" })).exitCode).toBe(0);
	const plan = await slipway(["plan", "vertex-fips-amd64", "--json"]);
	expect(plan.exitCode).toBe(0);
	const { proPackages, notes, stages } = JSON.parse(plan.stdout);
	expect(proPackages).toContain("linux-image-fips");
	expect(notes.join(" ")).toContain("PRO_TOKEN_FILE");
	expect(stages.map((stage: { name: string }) => stage.name)).toContain("bootstrap");
});

test("a bare `make iso` of that profile gives the same answer before it installs or asks for anything", async () => {
	const { exitCode, stderr } = await run("make", ["iso", "PROFILE=vertex-fips-amd64"], {
		accept: [2],
		cwd: projectRoot,
	});
	expect(exitCode).toBe(2);
	expect(stderr).toMatch(/^E_PRO_TOKEN: .*\n {2}Next: .*PRO_TOKEN_FILE.*BASE=debian-13/);
	const odd = await run("make", ["iso", "PROFILE=x'y"], { accept: [2], cwd: projectRoot });
	expect(odd.stderr).toMatch(/^E_PROFILE_NOT_FOUND: There is no profile `x'y`/);
	expect((await run("make", ["iso"], { accept: [2], cwd: projectRoot })).stderr).toContain("PROFILE is not set");
});

test("a keyring that is not there is told before anything is installed or asked, unless setup brings it", async () => {
	const KEYRING = path.join(dir, "none.gpg");
	for (const command of [["validate", "--for-build"], ["build"]]) {
		const { exitCode, stderr } = await slipway([...command, "palette-amd64"], { KEYRING, BASE: "debian-13" });
		expect(exitCode).toBe(4);
		expect(stderr).toMatch(/^E_KEYRING: There is no keyring .*none\.gpg\.\n {2}Next: Correct KEYRING=/);
	}
});

test("the plan of the laboratory base says that nothing is certified", async () => {
	const { stdout } = await slipway(["plan", "vertex-fips-amd64", "--base", "debian-13"]);
	expect(stdout).toContain("not certified");
});

test("plan and describe name the hardware, and the packages that its firmware classes stand for", async () => {
	const server = path.join(projectRoot, "test/golden/profiles/generic-server.yaml");
	const described = JSON.parse((await slipway(["describe", server, "--base", "debian-13", "--json"])).stdout);
	expect(described).toMatchObject({ hardware: { title: "Generic server (x86_64)", tested: false } });
	expect(described.firmware.classes.map((one: { class: string }) => one.class)).toContain("ethernet-broadcom");
	const { stdout } = await slipway(["plan", server, "--base", "debian-13"]);
	expect(stdout).toMatch(/^generic-server .*, for Generic server \(x86_64\)$/m);
	expect(stdout).toMatch(/^Firmware: .*\n(?: .*\n)* {2}ethernet-broadcom: firmware-bnx2/m);
	const wrong = await slipway(["plan", await profile("arm", `extends: [${server}]\narch: arm64\n`)]);
	expect(wrong).toMatchObject({
		exitCode: 3,
		stderr: expect.stringMatching(/generic-server.yaml:5:\d+: E_HARDWARE_ARCH/),
	});
});

test("a slip in the command line is bad input with the nearest command, and help is no error", async () => {
	expect(await slipway(["biuld"])).toMatchObject({
		exitCode: 2,
		stderr: expect.stringMatching(/E_USAGE: unknown command 'biuld' .*build/),
	});
	expect(await slipway(["build"])).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("E_USAGE") });
	expect(await slipway(["--help"])).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("validate") });
});

test("a base that does not exist is told as such, and FIPS content is made on no base by itself", async () => {
	expect(await slipway(["boot", "palette-amd64", "--base", "debian-31"])).toMatchObject({
		exitCode: 2,
		stderr: expect.stringMatching(/^E_BASE_NOT_FOUND: .*`debian-13`/),
	});
	expect(await slipway(["bundle", "build", "core", "--fips"])).toMatchObject({
		exitCode: 2,
		stderr: expect.stringMatching(/^E_USAGE: --fips needs a base.*\n {2}Next: .*--base/),
	});
});

test("list, describe and errors print JSON that names what the tables name", async () => {
	const list = JSON.parse((await slipway(["list", "--json"])).stdout);
	expect(list.profiles).toContainEqual(
		expect.objectContaining({
			name: "vertex-fips-amd64",
			product: "vertex",
			arch: "amd64",
			fips: true,
			base: "ubuntu-22.04",
		}),
	);
	expect(list.bases).toContainEqual(expect.objectContaining({ name: "debian-13", fips: "distribution" }));
	expect(list.bundles).toContain("core");
	const minimal = list.profiles.find((profile: { name: string }) => profile.name === "minimal-amd64");
	expect(minimal).toMatchObject({ base: "debian-13", hardware: "qemu", tested: true });
	expect(list.profiles.every((profile: object) => !("error" in profile))).toBe(true);
	expect(list.hardware).toContainEqual(
		expect.objectContaining({ name: "sbsa-server", arch: ["arm64"], tested: false }),
	);
	expect((await slipway(["list"])).stdout).toMatch(/^ {2}sbsa-server .* tested: false$/m);
	const described = JSON.parse((await slipway(["describe", "palette-amd64", "--json"])).stdout);
	expect(described.profile).toMatchObject({ name: "palette-amd64", fips: false, network: { expose: "lan" } });
	expect(JSON.parse((await slipway(["errors", "--json"])).stdout)).toContainEqual(
		expect.objectContaining({ code: "E_PRO_TOKEN", exit: 4 }),
	);
});

test("errors that many profiles share are printed once, and system errors get codes", () => {
	const at = { file: "parts/a.yaml", line: 1, col: 2 };
	const twice = new SlipwayErrors([
		new SlipwayError("E_PROFILE_KEY", "x", { at }),
		new SlipwayError("E_PROFILE_KEY", "x", { at }),
	]);
	expect(errorsIn(twice)).toHaveLength(1);
	expect(errorText(errorsIn(twice), false)).toMatch(/^parts\/a\.yaml:1:2: E_PROFILE_KEY: x\n {2}Next: /);
	expect(errorsIn(Object.assign(new Error("write"), { code: "ENOSPC" }))[0]?.code).toBe("E_NO_SPACE");
	const denied = errorsIn(Object.assign(new Error("mkdir"), { code: "EACCES" }))[0];
	expect(denied).toMatchObject({ code: "E_IO", next: expect.stringContaining("sudo") });
	expect(errorsIn(new TypeError("undefined is not a function"))[0]).toMatchObject({ code: "E_INTERNAL", exitCode: 5 });
});
