import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeAll, expect, test } from "vitest";
import { signatureName } from "../../bundle/signature-file.ts";
import { makeContent, type TestContent } from "../support/content.ts";
import { tempDir } from "../support/temp.ts";

/** The agent as a user starts it, `./slipway agent --config FILE`, judged by skopeo, curl and kill -9. */

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
const REFS = ["docker.io/library/nginx:1.27", "slipway.local/core/redis:7.4", "slipway.local/core/charts/site:1.0.0"];

let child: ChildProcess | undefined;
afterEach(() => kill());

async function kill(): Promise<void> {
	if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
	const gone = new Promise((resolve) => child?.once("close", resolve));
	child.kill("SIGKILL");
	await gone;
}

async function freePort(): Promise<number> {
	const server = createServer();
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as { port: number };
	await new Promise((resolve) => server.close(resolve));
	return port;
}

interface Started {
	readonly registry: number;
	readonly status: number;
}

async function start(content: TestContent, extra: object = {}, network: object = {}): Promise<Started> {
	await kill();
	const ports = { registry: await freePort(), status: await freePort() };
	const config = content.config({
		...extra,
		network: { registryPort: ports.registry, statusPort: ports.status, ...network },
	});
	const file = join(content.dir, "agent.json");
	await writeFile(file, JSON.stringify(config));
	child = spawn(join(ROOT, "slipway"), ["agent", "--config", file], { stdio: "ignore" });
	return ports;
}

const answer = (port: number, path: string) =>
	fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5000) }).catch(() => undefined);

async function ready(status: number): Promise<void> {
	await expect
		.poll(async () => (await answer(status, "/readyz"))?.status ?? child?.exitCode, { timeout: 300_000, interval: 50 })
		.toBe(200);
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

let content: TestContent;
beforeAll(async () => {
	const dir = await tempDir();
	content = await makeContent(dir, [
		{ refs: REFS, layers: [12_000_000, 4_000_000, 100], input: { name: "core" } },
		{ refs: ["slipway.local/apps/app:1"], compressible: true, layers: [20_000_000], input: { name: "apps" } },
	]);
});

test("skopeo copies every image from the agent's registry with its digest and bytes", async () => {
	const { registry, status } = await start(content);
	await ready(status);
	for (const { names } of content.bundles) {
		for (const { ref, digest } of names) {
			const out = await tempDir();
			const source = `docker://127.0.0.1:${registry}/${ref}`;
			await run("skopeo", ["copy", "--preserve-digests", "--src-tls-verify=false", source, `dir:${out}`]);
			expect(`sha256:${sha256(await readFile(join(out, "manifest.json")))}`).toBe(digest);
			const blobs = (await readdir(out)).filter((file) => /^[0-9a-f]{64}$/.test(file));
			expect(blobs.length).toBeGreaterThan(1);
			for (const blob of blobs) expect(sha256(await readFile(join(out, blob)))).toBe(blob);
			const { stdout } = await run("skopeo", ["inspect", "--tls-verify=false", "--format={{.Digest}}", source]);
			expect(stdout.trim()).toBe(digest);
			await rm(out, { recursive: true });
		}
	}
	// And it writes nothing, whoever asks.
	await mkdir(join(content.dir, "empty"), { recursive: true });
	const copy = run("skopeo", [
		"copy",
		"--src-tls-verify=false",
		"--dest-tls-verify=false",
		`docker://127.0.0.1:${registry}/${REFS[0]}`,
		`docker://127.0.0.1:${registry}/slipway.local/core/new:1`,
	]);
	await expect(copy).rejects.toThrow();
	expect((await answer(registry, "/v2/slipway.local/core/new/tags/list"))?.status).toBe(404);
});

test("on the LAN it speaks TLS only, with its own certificate, kept over a restart", async () => {
	const fingerprints: string[] = [];
	for (let i = 0; i < 2; i++) {
		const { registry, status } = await start(content, {}, { expose: "lan" });
		const ca = join(content.dir, "ca", "ca.crt");
		await mkdir(join(content.dir, "ca"), { recursive: true });
		const insecure = ["-sk", "--fail", `https://127.0.0.1:${status}/v1/certificate`, "-o", ca];
		await expect
			.poll(
				() =>
					run("curl", insecure).then(
						() => 0,
						() => 1,
					),
				{ timeout: 300_000 },
			)
			.toBe(0);
		const curl = async (path: string, port = status) =>
			(await run("curl", ["-s", "--cacert", ca, `https://localhost:${port}${path}`])).stdout;
		await expect.poll(() => curl("/readyz"), { timeout: 300_000 }).toBe("ok\n");
		const told = JSON.parse(await curl("/v1/status"));
		const { stdout } = await run("openssl", ["x509", "-in", ca, "-noout", "-fingerprint", "-sha256"]);
		expect(stdout.trim().split("=")[1]!.replaceAll(":", "").toLowerCase()).toBe(told.tlsSha256);
		fingerprints.push(told.tlsSha256);
		expect(told.urls.registry).toMatch(/^https:/);
		const { stdout: digest } = await run("skopeo", [
			"inspect",
			`--cert-dir=${join(content.dir, "ca")}`,
			"--format={{.Digest}}",
			`docker://localhost:${registry}/${REFS[0]}`,
		]);
		expect(digest.trim()).toBe(content.bundles[0]!.names[0]!.digest);
		await expect(run("curl", ["-s", "--fail", `http://127.0.0.1:${registry}/v2/`])).rejects.toThrow();
	}
	expect(fingerprints[1]).toBe(fingerprints[0]);
});

test("killed at any moment of the load, it shows the whole set or nothing, and ends ready with the right bytes", async () => {
	const store = join(content.dir, "store");
	const began = Date.now();
	await rm(store, { recursive: true, force: true });
	const first = await start(content);
	await ready(first.status);
	const whole = Date.now() - began;
	await kill();
	await rm(store, { recursive: true, force: true });

	const all = content.bundles.flatMap((b) => b.names.map((n) => n.ref.split(":")[0])).sort();
	let cut = 0;
	for (let i = 0; i < 25; i++) {
		// Every fifth time from nothing, else on from what the last cut left behind.
		if (i % 5 === 0) await rm(store, { recursive: true, force: true });
		const { registry } = await start(content);
		const until = Date.now() + whole * (0.3 + (0.7 * ((i * 7) % 25)) / 25);
		while (Date.now() < until) {
			const catalog = await answer(registry, "/v2/_catalog");
			if (catalog?.status === 200)
				expect(((await catalog.json()) as { repositories: string[] }).repositories).toEqual(all);
			await new Promise((resolve) => setTimeout(resolve, 5));
		}
		const committed = await readFile(join(store, "store", "catalog.json")).then(
			() => true,
			() => false,
		);
		if (!committed) cut++;
		await kill();
	}
	expect(cut).toBeGreaterThan(3); // else the load was too quick to be cut

	const { registry, status } = await start(content);
	await ready(status);
	expect(await readdir(join(store, "store", "ingest"))).toEqual([]);
	for (const { index, names } of content.bundles) {
		for (const { digest, size } of index.blobs) {
			let found = 0;
			for (const { ref } of names) {
				const response = await answer(registry, `/v2/${ref.split(":")[0]}/blobs/${digest}`);
				if (response?.status !== 200) continue;
				const bytes = Buffer.from(await response.arrayBuffer());
				expect([bytes.length, `sha256:${sha256(bytes)}`]).toEqual([size, digest]);
				found++;
			}
			expect(found).toBeGreaterThan(0);
		}
	}
});

test("errors on the command line: code, place, next step and exit code, no stack trace", async () => {
	const fail = async (...args: string[]) =>
		run(join(ROOT, "slipway"), ["agent", ...args]).then(
			() => expect.unreachable(),
			(error: { code: number; stderr: string }) => error,
		);
	const file = join(content.dir, "bad.yaml");
	await writeFile(file, "content: /c\ntrust: /t\nstorre: /s\n");
	const { code, stderr } = await fail("--config", file);
	expect(code).toBe(2);
	expect(stderr).toBe(
		`${file}:3:1: E_CONFIG: storre is not a key of the configuration. Did you mean store?\n  Next: Correct the key that is named; see docs/agent.md.\n`,
	);
	expect(await fail("--confg", file)).toMatchObject({
		code: 2,
		stderr: expect.stringMatching(/^E_USAGE: .*\n {2}Next: /),
	});

	const { status } = await start(content);
	await ready(status); // or the second would be the first
	await expect.poll(async () => (await fail("--config", join(content.dir, "agent.json"))).stderr).toMatch(/^E_BUSY: /);
});

test("a bundle without its signature: the agent stays up, tells why, and serves no name", async () => {
	const dir = await tempDir();
	const bad = await makeContent(dir, [{ refs: [REFS[0]!] }]);
	await rm(signatureName(bad.bundles[0]!.path));
	const { registry, status } = await start(bad);
	await expect
		.poll(async () => ((await (await answer(status, "/v1/status"))?.json()) as { stage?: string })?.stage, {
			timeout: 300_000,
		})
		.toBe("failed");
	const told = (await (await answer(status, "/v1/status"))!.json()) as { lastError: { code: string } };
	expect(told.lastError.code).toBe("E_UNSIGNED");
	expect((await answer(registry, "/v2/_catalog"))?.status).toBe(503);
	await expect.poll(async () => JSON.parse(await readFile(join(dir, "run/status.json"), "utf8"))).toEqual(told);
});
