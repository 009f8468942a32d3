import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SlipwayError, SlipwayErrors } from "../../bundle/errors.ts";
import { tempDir } from "../../test/support/temp.ts";
import { consoleLines } from "../console/lines.ts";
import { listen } from "../http/app.ts";
import { writeStatusFile } from "./file.ts";
import { page } from "./page.ts";
import { createStatus } from "./server.ts";
import { State, type Status } from "./state.ts";

const initial: Status = {
	stage: "booting",
	since: "2026-01-01T00:00:00Z",
	progress: { blobsDone: 0, blobsTotal: 0, bytesDone: 0, bytesTotal: 0 },
	conditions: [],
	lastError: null,
	product: "vertex",
	version: "1.0",
	profile: "p",
	arch: "amd64",
	buildId: "b".repeat(64),
	rootId: null,
	boot: { secureBoot: true, root: "integrity-checked" },
	fips: { required: false, active: false, proofs: [], module: null, statement: "" },
	developmentKey: true,
	store: { path: "/s", kind: "ephemeral" },
	scrub: { running: false, bytesDone: 0, bytesTotal: 0, last: null },
	release: null,
	bundles: [],
	servedFrom: null,
	mediumPresent: null,
	missingBlobs: null,
	target: null,
	mediumCheck: null,
	addresses: ["192.0.2.7"],
	urls: { registry: "https://192.0.2.7:5000/v2/", status: "https://192.0.2.7:8080/" },
	tlsSha256: "ab".repeat(32),
};
const state = new State(initial);
const app = createStatus(state, () => undefined, { tls: undefined, hosts: () => ["127.0.0.1"], maxConnections: 4 });
let port = 0;
beforeAll(async () => {
	port = await listen(app, "loopback", 0);
});
afterAll(() => app.close());

const get = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${port}${path}`, init);

test("the same failure reads the same in status, readyz, metrics, page, console and file", async () => {
	const run = await tempDir();
	const flush = await writeStatusFile(state, run);
	state.fail(
		"content",
		new SlipwayErrors([new SlipwayError("E_UNSIGNED", "x.zst has no <b>."), new SlipwayError("E_FRAME", "bad")]),
	);
	await flush();
	expect(JSON.parse(await readFile(join(run, "status.json"), "utf8"))).toEqual(state.status);
	expect(await (await get("/v1/status")).json()).toEqual(state.status);
	expect(state.status.conditions.map((c) => [c.name, c.code])).toEqual([
		["content", "E_UNSIGNED"],
		["content-2", "E_FRAME"],
	]);
	expect((await get("/livez")).status).toBe(200);
	const ready = await get("/readyz?verbose");
	expect([ready.status, await ready.text()]).toEqual([503, expect.stringContaining("[-]content failed: E_UNSIGNED")]);
	expect(await (await get("/metrics")).text()).toContain(
		'slipway_condition_ok{condition="content",code="E_UNSIGNED"} 0',
	);
	expect(consoleLines(state.status).join("\n")).toMatch(/E_UNSIGNED: .*\n {2}Next: Get the .*\n/);
	expect(page(state.status)).toContain("x.zst has no &lt;b&gt;.");

	// What was said under the name before does not stay beside what is said now.
	state.fail("content", new SlipwayError("E_MEDIA", "There is nothing."));
	expect(state.status.conditions.map((c) => [c.name, c.code])).toEqual([["content", "E_MEDIA"]]);
	state.condition("content");
	expect(state.status.conditions).toEqual([{ name: "content", ok: true, code: null, cause: "", next: "" }]);
	state.enter("ready");
	expect((await get("/readyz")).status).toBe(503);
	state.update({ missingBlobs: ["sha256:00"] });
	expect((await get("/readyz")).status).toBe(503);
	state.update({ missingBlobs: [], servedFrom: "medium", mediumPresent: false });
	expect((await get("/readyz")).status).toBe(503);
	state.update({ mediumPresent: true });
	expect((await get("/readyz")).status).toBe(200);
	state.enter("serving");
	expect((await get("/readyz")).status).toBe(503);
});

test("the console says what a field engineer and the boot command need, in printable ASCII", () => {
	const lines = consoleLines({ ...initial, version: "1\x1b[2J\u00e9", stage: "ready" });
	expect(lines.join("")).toMatch(/^[\x20-\x7e]*$/);
	expect(lines[0]).toBe("vertex 1?[2J? (build bbbbbbbbbbbb)");
	expect(lines).toEqual(expect.arrayContaining([`slipway: tls-sha256=${"ab".repeat(32)}`, "slipway: state=ready"]));
	expect(lines).toContain("Started:   Secure Boot on, root image integrity-checked");
	expect(consoleLines({ ...initial, boot: { secureBoot: null, root: "unchecked" } }).join()).not.toContain("Started");
	const check = (done: number, ...bad: string[]) =>
		consoleLines({ ...initial, mediumCheck: { done, total: 9, bytesDone: done << 20, bytesTotal: 9 << 20, bad } });
	expect(check(4)).toContain("Medium check: 40 % of 9 MiB, 4 of 9 files");
	expect(check(9)).toContain("Medium check: all 9 files are good.");
	expect(check(4, "boot/initrd")).toContain("Medium check: DAMAGED, 1 of 9 files: boot/initrd");
	expect(lines.join("\n")).toMatch(/No data disk.*\n.*development key/);
});

test("the page loads nothing from elsewhere and runs no script", async () => {
	const response = await get("/");
	expect(response.headers.get("content-security-policy")).toMatch(/^default-src 'none'; style-src 'sha256-[^']+';/);
	const html = await response.text();
	expect(html).not.toMatch(/<script|https?:\/\/(?!192\.0\.2\.7)|\son\w+=/);
	expect(html).toContain('http-equiv="refresh"');
});

test("errors are problem documents, and nothing can be changed", async () => {
	for (const [path, method, status] of [
		["/nope", "GET", 404],
		["/v1/status", "POST", 405],
		["/v1/certificate", "GET", 404],
	] as const) {
		const response = await get(path, { method });
		expect([path, response.status]).toEqual([path, status]);
		expect(response.headers.get("content-type")).toMatch(/^application\/problem\+json/);
		expect(await response.json()).toMatchObject({ status, instance: path });
	}
	expect((await get("/v1/status")).headers.get("access-control-allow-origin")).toBeNull();
});

test("another host's name and huge headers are refused", async () => {
	const ask = (headers: Record<string, string>) =>
		new Promise<number | undefined>((resolve, reject) => {
			request({ host: "127.0.0.1", port, path: "/v1/status", headers }, (response) => {
				response.resume();
				resolve(response.statusCode);
			})
				.on("error", reject)
				.end();
		});
	expect(await ask({ host: "evil.example" })).toBe(421);
	expect(await ask({ host: `127.0.0.1:${port}`, "x-large": "x".repeat(9000) })).toBe(431);
});
