import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { selfSigned, tlsBox } from "../../test/support/tls-box.ts";
import type { Firmware } from "../tools/qemu.ts";
import { checkReady, rootCheck } from "./check-ready.ts";

test("a root image is as trusted as what started it, no less and no more", () => {
	const right = (boot: "grub" | "uki", firmware: Firmware) =>
		["authenticated", "integrity-checked", "unchecked", undefined].map(
			(said) => rootCheck({ boot }, firmware, said).ok,
		);
	expect(right("uki", "uefi-secureboot")).toEqual([true, false, false, false]);
	for (const [boot, firmware] of [
		["uki", "uefi"],
		["grub", "uefi-secureboot"],
		["grub", "bios"],
	] as const)
		expect(right(boot, firmware)).toEqual([false, true, false, false]);
});

test("a box that makes itself another certificate while it is looked over is looked over once more", async () => {
	const dir = await tempDir();
	const facts = { stage: "ready", version: "1", buildId: "b", rootId: "r", developmentKey: false, servedFrom: null };
	const fips = { required: false, active: false, proofs: [] };
	const body = JSON.stringify({ ...facts, conditions: [], bundles: [], fips });
	const { server, port, sha256 } = await tlsBox(dir, (_request, response) => response.end(body));
	onTestFinished(() => void server.close());
	const serialLog = join(dir, "serial.log");
	await writeFile(serialLog, `slipway: tls-sha256=${"0".repeat(64)}\r\nslipway: state=ready\r\n`);
	// It tells of the other one after somebody has come with the old one, and later than that one gives up.
	const tell = () => void appendFile(serialLog, `slipway: tls-sha256=${sha256}\r\n`);
	server.once("tlsClientError", () => setTimeout(tell, 3_000));
	const release = { folder: dir, manifest: { bundles: [], fips: null } };
	const { signal } = new AbortController();
	const machine = {
		release,
		profile: { boot: "grub", root: "live" },
		firmware: "bios",
		media: "cd",
		serialLog,
		signal,
	};
	const lan = { status: { port, certificate: await selfSigned(dir, "old") }, registryPort: 1 };
	const { status } = await checkReady(machine as never, { lan, work: dir } as never, 4_000);
	expect(status).toMatchObject({ stage: "ready", buildId: "b" });
});
