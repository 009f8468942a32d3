import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { applianceConfig } from "../../bundle/appliance.ts";
import { tempDir } from "../../test/support/temp.ts";
import { type FipsView, fipsFault, fipsStatus } from "./fips.ts";
import { type Hardware, probe, readHardware } from "./probe.ts";
import { missingRequirements } from "./requirements.ts";

const hardware: Hardware = {
	arch: "amd64",
	cores: 2,
	memoryMiB: 4096,
	disks: [64_000, 8000],
	nics: 2,
	cpuFlags: ["aes", "sha_ni"],
	tpm: false,
	cpu: "",
	manufacturer: "",
	model: "",
};
const config = (requirements: object, arch = "amd64") =>
	applianceConfig.parse({ content: "/c", trust: "/t", arch, requirements });

test("everything that is missing is told at once", () => {
	const demanding = config(
		{
			...{ cores: 8, memoryMiB: 16384, diskMiB: 1000, cpuFlags: ["aes", "avx512f"], tpm: true },
			...{ disks: { count: 2, sizeMiB: 9000 }, nics: 3 },
		},
		"arm64",
	);
	const faults = missingRequirements(demanding, hardware, { kind: "ephemeral", sizeMiB: 2000 });
	expect(faults.map((f) => f.code)).toEqual(Array(8).fill("E_REQUIREMENTS"));
	expect(faults.map((f) => f.message).join("\n")).toMatch(
		/arm64.*\n.*8 needed, 2 found.*\n.*16384 MiB needed, 4096 MiB found.*\n.*none found.*\n.*9000 MiB or more: 2 needed, 1 found.*\n.*3 needed, 2 found.*\n.*avx512f\.\n.*TPM/,
	);
});

test("what is exactly enough suffices", () => {
	const machine = { cores: 2, memoryMiB: 4096, disks: { count: 2, sizeMiB: 8000 }, nics: 2, cpuFlags: ["aes"] };
	const exact = config({ ...machine, diskMiB: 2000 });
	expect(missingRequirements(exact, hardware, { kind: "persistent", sizeMiB: 2000 })).toEqual([]);
	expect(missingRequirements(exact, hardware, { kind: "persistent", sizeMiB: 1999 })).toHaveLength(1);
});

test("the probe sees this machine, and a recorded one is used instead", async () => {
	const here = await probe();
	expect(here.cores).toBeGreaterThan(0);
	expect(here.memoryMiB).toBeGreaterThan(256);
	expect(here.cpuFlags.length).toBeGreaterThan(3);
	const boot = await tempDir();
	await writeFile(join(boot, "hardware.json"), JSON.stringify({ ...hardware, cores: 77 }));
	expect((await readHardware(boot)).cores).toBe(77);
	await writeFile(join(boot, "hardware.json"), '{"arch": "am'); // torn by a crash
	expect((await readHardware(boot)).cores).toBe(here.cores);
});

const module = {
	provider: "openssl-provider-fips",
	version: "3.5.1-1",
	stream: "distribution" as const,
	certificate: null,
};
const proven: FipsView = {
	kernelFlag: async () => "1\n",
	processMaps: async () => "7f00-7f01 r-xp 0 00:00 1 /usr/lib/x86_64-linux-gnu/ossl-modules/fips.so\n",
	nodeFips: () => 1,
	hash: (algorithm) => {
		if (algorithm === "md5") throw new Error("unsupported");
		return "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	},
};

test("FIPS is active only when all three proofs hold", async () => {
	const good = await fipsStatus({ fips: true, fipsModule: module }, proven);
	expect([good.active, fipsFault(good)]).toEqual([true, undefined]);
	const broken: [string, Partial<FipsView>, typeof module | null][] = [
		["build", {}, null],
		["kernel", { kernelFlag: async () => "0\n" }, module],
		["self-test", { nodeFips: () => 0 }, module],
		["self-test", { processMaps: async () => "/usr/lib/libcrypto.so.3\n" }, module],
		["self-test", { hash: () => "d41d8cd98f00b204e9800998ecf8427e" }, module],
		[
			"self-test",
			{
				hash: () => {
					throw new Error("unsupported");
				},
			},
			module,
		],
		["self-test", { hash: () => "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }, module],
	];
	for (const [proof, view, recorded] of broken) {
		const status = await fipsStatus({ fips: true, fipsModule: recorded }, { ...proven, ...view });
		expect(status.proofs.filter((p) => !p.ok).map((p) => p.name)).toEqual([proof]);
		expect(fipsFault(status)).toMatchObject({ code: "E_FIPS_INACTIVE" });
	}
});

test("only a certified stream with its certificate is called a validated module", async () => {
	const say = async (change: object) =>
		(await fipsStatus({ fips: true, fipsModule: { ...module, ...change } }, proven)).statement;
	expect(await say({})).toMatch(/not certified/);
	expect(await say({ stream: "fips-updates", certificate: "4794" })).toMatch(/not certified/);
	expect(await say({ stream: "fips", certificate: null })).toMatch(/not certified/);
	expect(await say({ stream: "fips", certificate: "4794" })).toMatch(/uses a validated module .*certificate 4794/);
});

test("this process does not run in FIPS mode, and says so", async () => {
	const status = await fipsStatus({ fips: true, fipsModule: module });
	expect(status.active).toBe(false);
	expect(fipsFault(status)?.message).toMatch(/md5 is not refused.*fips\.so is not loaded/);
	expect((await fipsStatus({ fips: false, fipsModule: null })).required).toBe(false);
});
