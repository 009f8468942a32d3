import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import type { Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { selfSigned, tlsBox } from "../../test/support/tls-box.ts";
import { run } from "../tools/run.ts";
import { checkBox } from "./check.ts";
import { findRelease } from "./find-release.ts";
import { checkPulledMedium } from "./medium.ts";
import { get, pin } from "./pinned.ts";
import { clean, readSerial } from "./serial.ts";
import { waitReady } from "./wait.ts";

let dir: string;
let server: Server;
let port: number;
let sha256: string;
let ready = 200;
let status = "x";

beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-boot-test-"));
	({ server, port, sha256 } = await tlsBox(dir, (request, response) => {
		const body = request.url === "/v1/status" ? status : "x";
		response.writeHead(request.url === "/readyz" ? ready : body === "x" ? 404 : 200).end(body);
	}));
});
afterAll(async () => {
	server.close();
	await rm(dir, { recursive: true, force: true });
});

test("a box is known by the certificate that its console named, and by no other", async () => {
	const pinned = await pin(port, sha256);
	expect((await get(pinned!, "/readyz"))?.status).toBe(200);
	await expect(pin(port, "00".repeat(32))).rejects.toMatchObject({ code: "E_BOOT_CHECK" });
	expect(await get({ port, certificate: await selfSigned(dir, "other") }, "/readyz")).toBeUndefined();
	expect(await pin(1, sha256)).toBeUndefined();
});

const never = new Promise<unknown>(() => undefined);
async function wait(serial: string, change: Partial<Parameters<typeof waitReady>[0]> = {}) {
	const serialLog = join(dir, `serial-${Math.random()}.log`);
	await writeFile(serialLog, serial);
	const states: string[] = [];
	const signal = new AbortController().signal;
	const onState = (state: string) => states.push(state);
	const pinned = await waitReady({
		serialLog,
		statusPort: port,
		timeoutMs: 1200,
		signal,
		ended: never,
		onState,
		...change,
	});
	return { pinned, states };
}

test("ready is what /readyz says; a timeout and a failure name the serial log", async () => {
	const said = `slipway: tls-sha256=${sha256}\r\nslipway: state=serving\r\n`;
	expect(await wait(said)).toMatchObject({ pinned: { port }, states: ["serving"] });
	ready = 503;
	onTestFinished(() => {
		ready = 200;
	});
	await expect(wait(said)).rejects.toMatchObject({ code: "E_BOOT_TIMEOUT", next: expect.stringContaining("serial-") });
	await expect(wait("E_MEDIA: nothing\r\nslipway: state=failed\r\n")).rejects.toMatchObject({
		code: "E_BOOT_CHECK",
		message: expect.stringContaining("E_MEDIA: nothing"),
	});
	await expect(wait("", { ended: Promise.resolve() })).rejects.toMatchObject({ code: "E_BOOT_CHECK" });
	expect(await wait("slipway: state=ready\n", { statusPort: null })).toMatchObject({ states: ["ready"] });
});

test("a box that gets an address shows another certificate, and its console tells it a moment later", async () => {
	const line = (fingerprint: string) => `slipway: tls-sha256=${fingerprint}\r\nslipway: state=serving\r\n`;
	const old = line("00".repeat(32));
	const serialLog = join(dir, "renewed.log");
	await writeFile(serialLog, old);
	const renewed = wait(old, { serialLog, timeoutMs: 10_000 });
	await sleep(700);
	await appendFile(serialLog, line(sha256));
	expect(await renewed).toMatchObject({ pinned: { port } });
	// But not for ever. Each look at the clock is five seconds.
	const now = vi.spyOn(Date, "now");
	let time = 0;
	now.mockImplementation(() => (time += 5000));
	onTestFinished(() => now.mockRestore());
	const strange = wait(old, { timeoutMs: 600_000 });
	await expect(strange).rejects.toMatchObject({ code: "E_BOOT_CHECK", message: expect.stringContaining(sha256) });
});

test("the console is read through what firmware and boot menus draw", async () => {
	const file = join(dir, "drawn.log");
	await writeFile(
		file,
		"\x1b[2J\x1b[01;01H\x1b[=3hGNU GRUB\r\nslipway: state=booting\r\nslipway: state=ready\r\n\x1b[0m",
	);
	expect(await readSerial(file)).toEqual({
		tlsSha256: undefined,
		state: "ready",
		root: undefined,
		secureBoot: null,
		tail: "GNU GRUB\nslipway: state=booting\nslipway: state=ready",
	});
	expect(clean("\x1b[05;98Ha\x07b")).toBe("ab");
	for (const [line, secureBoot] of [
		["secureboot: Secure boot enabled", true],
		["secureboot: Secure boot disabled", false],
		["Started:   Secure Boot on, root image integrity-checked", true],
	]) {
		await writeFile(file, `\r\n${line}\r\n`);
		const root = String(line).split("root image ")[1];
		expect(await readSerial(file)).toMatchObject({ secureBoot, root });
	}
});

test("whatever goes wrong while a box is looked over is a failed check, not the end of the report", async () => {
	const box = { ...(await pin(port, sha256))! };
	const request = { run, folder: dir, manifest: { bundles: [], fips: null } as never, work: dir };
	const look = (registryPort: number) =>
		checkBox({ ...request, status: box, registry: { port: registryPort, tlsSha256: sha256 } });
	const silent = await look(1);
	expect(silent).toMatchObject({
		status: null,
		checks: [
			{ name: "status", ok: false },
			{ name: "image", ok: false },
		],
	});
	expect(silent.checks[0]!.detail).toContain("404");
	onTestFinished(() => {
		status = "x";
	});
	status = '{"stage":"ready"}';
	expect((await look(port)).checks[0]).toMatchObject({ ok: false, detail: expect.stringContaining("version") });
	const facts = {
		version: "1",
		buildId: "b",
		rootId: "r",
		developmentKey: false,
		bundles: [],
		conditions: [],
		servedFrom: null,
	};
	status = JSON.stringify({ stage: "ready", ...facts, fips: { required: false, active: false, proofs: [] } });
	const known = await look(port);
	expect(known.status).toMatchObject({ buildId: "b" });
	expect(known.checks.find((one) => one.name === "stage")).toMatchObject({ ok: true });
	expect(known.checks.find((one) => one.name === "build id")).toMatchObject({ ok: false });
	expect(known.checks.at(-1)).toMatchObject({ name: "image", ok: false });
	const conditions = [{ name: "boot", ok: false, code: "E_IO", cause: "The data partition cannot be mounted." }];
	status = JSON.stringify({ ...known.status, stage: "degraded", conditions });
	const detail = "degraded; E_IO The data partition cannot be mounted.";
	expect((await look(port)).checks).toContainEqual({ name: "stage", ok: false, detail });
});

test("the stick is pulled out, the box has to say so, and it is put back; a box with a store is asked while it is out", async () => {
	onTestFinished(() => {
		[status, ready] = ["x", 200];
	});
	const did: string[] = [];
	const say = (servedFrom: string, code: string | null) => {
		const facts = { version: "1", buildId: "b", rootId: "r", developmentKey: false, bundles: [], servedFrom };
		const conditions = [{ name: "medium", ok: code === null, code, cause: "its device has vanished" }];
		const fips = { required: false, active: false, proofs: [] };
		status = JSON.stringify({ stage: "ready", ...facts, conditions, fips });
		ready = code === null ? 200 : 503;
	};
	const guest = {
		pullMedium: async () => {
			did.push("pulled");
			if (did.length === 1) say("medium", "E_MEDIUM_GONE");
		},
		insertMedium: async () => {
			did.push("inserted");
			say("medium", null);
		},
	};
	const box = (await pin(port, sha256))!;
	const look = async (work: string) => {
		const request = { run, folder: dir, manifest: { bundles: [], fips: null } as never, work };
		return checkPulledMedium({ ...request, guest, status: box, registry: { port: 1, tlsSha256: sha256 } });
	};
	say("medium", null);
	const inPlace = await look(await mkdtemp(join(dir, "pulled-")));
	expect(inPlace.map((one) => [one.name, one.ok])).toEqual([
		["medium pulled out", true],
		["medium put back", true],
		["medium put back: image", false], // there is none in this release
	]);
	expect(inPlace[0]!.detail).toContain("not ready: E_MEDIUM_GONE its device has vanished");
	expect(did).toEqual(["pulled", "inserted"]);
	say("store", null);
	const stored = await look(await mkdtemp(join(dir, "stored-")));
	expect(stored.map((one) => one.name)).toEqual(["without the medium: image"]);
	expect(did).toEqual(["pulled", "inserted", "pulled"]);
});

test("no ISO of a profile is told with the command that builds one", async () => {
	await expect(findRelease(join(dir, "none"), "vertex", undefined)).rejects.toMatchObject({
		code: "E_USAGE",
		next: expect.stringContaining("make iso PROFILE=vertex"),
	});
});
