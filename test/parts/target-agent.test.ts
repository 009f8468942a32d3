import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Status } from "../../agent/status/state.ts";
import { run } from "../../builder/tools/run.ts";
import { makeContent, type TestContent } from "../support/content.ts";
import { freePort, startRegistry, type TestRegistry } from "../support/registry.ts";
import { tempDir } from "../support/temp.ts";

/** The agent with `registry.target`, as a user starts it, against docker-registry: cut off, refused, in place. */

const ROOT = join(import.meta.dirname, "../..");
const MIB = 2 ** 20;
const KILLS = Number(process.env.TARGET_KILLS ?? 8);
const SEED = process.env.TARGET_SEED ?? String(Date.now());

let registry: TestRegistry;
let agent: ChildProcess | undefined;
let output = "";

beforeAll(async () => {
	registry = await startRegistry(await tempDir());
});
afterEach(() => kill());
afterAll(() => registry?.stop());

async function kill(): Promise<void> {
	if (agent === undefined || agent.exitCode !== null || agent.signalCode !== null) return;
	const gone = new Promise((resolve) => agent?.once("close", resolve));
	agent.kill("SIGKILL");
	await gone;
}

/** Starts the agent on the content; answers a question for its status. */
async function start(
	content: TestContent,
	path: string,
	more: object = {},
): Promise<() => Promise<Status | undefined>> {
	await kill();
	const statusPort = await freePort();
	const credentials = join(content.dir, "credentials.json");
	const config = content.config({
		network: { registryPort: 0, statusPort },
		registry: { target: `https://${registry.host}/${path}`, credentials, ca: registry.caFile },
		...more,
	});
	await writeFile(join(content.dir, "agent.json"), JSON.stringify(config));
	agent = spawn(join(ROOT, "slipway"), ["agent", "--config", join(content.dir, "agent.json")]);
	for (const stream of [agent.stdout, agent.stderr]) stream?.on("data", (data) => (output += data));
	return async () => {
		const answer = await fetch(`http://127.0.0.1:${statusPort}/v1/status`).catch(() => undefined);
		return (await answer?.json()) as Status | undefined;
	};
}

async function contentOf(
	credentials: string,
	...bundles: Parameters<typeof makeContent>[1] & object
): Promise<TestContent> {
	const content = await makeContent(await tempDir(), bundles);
	await copyFile(credentials, join(content.dir, "credentials.json"));
	return content;
}

async function until(status: () => Promise<Status | undefined>, wanted: (status: Status) => boolean): Promise<Status> {
	let last: Status | undefined;
	await expect
		.poll(
			async () => {
				last = (await status()) ?? last;
				return last !== undefined && wanted(last);
			},
			{ timeout: 300_000, interval: 50 },
		)
		.toBe(true);
	return last!;
}

const isReady = ({ stage }: Status) => stage === "ready";
const refsOf = (content: TestContent) => content.bundles.flatMap(({ names }) => names);

/** Tag → digest of each of the content's names that answers in the target; fails where one leads to something missing. */
async function tagsIn(path: string, content: TestContent): Promise<Map<string, string>> {
	const found = new Map<string, string>();
	for (const { ref, digest } of refsOf(content)) {
		const [repo, tag] = [`${path}/${ref.slice(0, ref.lastIndexOf(":"))}`, ref.split(":").at(-1)!];
		const manifest = await registry.get(`/v2/${repo}/manifests/${tag}`);
		if (manifest.status === 404) continue;
		expect([ref, manifest.status, sha256(manifest.body)]).toEqual([ref, 200, digest]);
		const { config, layers } = JSON.parse(manifest.body.toString());
		for (const blob of [config, ...layers]) {
			const { status, body } = await registry.get(`/v2/${repo}/blobs/${blob.digest}`);
			expect([ref, status, sha256(body)]).toEqual([ref, 200, blob.digest]);
		}
		found.set(ref, digest);
	}
	return found;
}

const sha256 = (bytes: Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

test(`killed at any moment (seed ${SEED}) and started again, it ends with every tag whole`, async () => {
	const content = await contentOf(
		await registry.authFile(),
		{ refs: ["docker.io/library/a:1", "docker.io/library/b:2"], layers: [40 * MIB, MIB, 10] },
		{ refs: ["slipway.local/c:3"], layers: [20 * MIB], input: { name: "more" } },
	);
	const moments: number[] = [];
	let cut = 0;
	for (let i = 0; i < KILLS; i++) {
		const status = await start(content, "killed");
		// From the start of the push on, so that the seeds fall into it and not into the load; the first ones soon, before
		// a fast machine has sent it all.
		const pushing = await until(
			status,
			({ stage, conditions }) => stage === "ready" || conditions.some((c) => c.name === "target"),
		);
		const moment = createHash("sha256").update(`${SEED} ${i}`).digest().readUInt16BE() % (50 + 150 * i);
		moments.push(moment);
		if (pushing.stage !== "ready") await sleep(moment);
		if ((await status())?.stage !== "ready") cut++;
		await kill();
		await tagsIn("killed", content);
	}
	expect(cut).toBeGreaterThan(0);
	const status = await start(content, "killed");
	const last = await until(status, isReady);
	expect(last.target).toMatchObject({ delivered: true });
	const whole = new Map(refsOf(content).map(({ ref, digest }) => [ref, digest]));
	expect([moments, await tagsIn("killed", content)]).toEqual([moments, whole]);

	// A start with nothing new asks for the names, writes nothing, and is ready.
	await kill();
	const journal = await readFile(join(content.dir, "store/state/target.json"), "utf8");
	const before = (await registry.requests()).length;
	await until(await start(content, "killed"), isReady);
	const asked = new Set((await registry.requests()).slice(before));
	expect([...asked].filter((line) => !line.startsWith("HEAD"))).toEqual([]);
	expect(asked.size).toBe(whole.size);
	expect(await readFile(join(content.dir, "store/state/target.json"), "utf8")).toBe(journal);
});

test("refused credentials: served and told, not ready, no secret anywhere; right ones are found at the next attempt", async () => {
	const content = await contentOf(await registry.authFile("wrong-canary"), {});
	const status = await start(content, "credentials");
	const told = await until(status, ({ conditions }) => conditions.some((c) => c.name === "target" && !c.ok));
	expect(told).toMatchObject({ stage: "serving", target: { delivered: false } });
	expect(told.conditions.find((c) => c.name === "target")).toMatchObject({
		code: "E_REGISTRY_AUTH",
		next: expect.stringContaining("registry.credentials"),
	});
	const ready = await fetch(new URL("/readyz", told.urls.status!));
	expect(ready.status).toBe(503);
	await copyFile(await registry.authFile(), join(content.dir, "credentials.json"));
	await until(status, isReady);
	expect((await tagsIn("credentials", content)).size).toBe(1);
	const secrets = [registry.password, "wrong-canary"].flatMap((secret) => [
		secret,
		Buffer.from(`${registry.user}:${secret}`).toString("base64"),
	]);
	const written = (await run("grep", ["-r", "-a", "-l", "-F", ...secrets.flatMap((s) => ["-e", s]), content.dir]))
		.stdout;
	expect(written.trim()).toBe(join(content.dir, "credentials.json"));
	for (const secret of secrets) expect(`${output}${JSON.stringify([told, await status()])}`).not.toContain(secret);
});

test("served in place, it is sent when the whole files are verified, and a bad signature over one keeps all of it here", async () => {
	const good = await contentOf(await registry.authFile(), { layers: [3 * MIB] });
	await until(await start(good, "in-place", { serve: "in-place" }), isReady);
	expect((await tagsIn("in-place", good)).size).toBe(1);

	const bad = await contentOf(await registry.authFile(), { layers: [200 * MIB], compressible: true }); // a while to read
	const [bundle] = bad.bundles;
	const signature = await readFile(bundle!.sigPath);
	const other = (await makeContent(await tempDir(), [{}], bad.signer)).bundles[0]!;
	await writeFile(bundle!.sigPath, await readFile(other.sigPath));
	expect(signature).not.toEqual(await readFile(bundle!.sigPath));
	const status = await start(bad, "in-place-bad", { serve: "in-place" });
	await until(status, ({ stage }) => stage === "failed");
	expect((await registry.requests()).filter((line) => line.includes("in-place-bad"))).toEqual([]);
});
