import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { applianceKernel, noteStart } from "../test/support/appliance-boot.ts";
import type { TestBundleOptions } from "../test/support/bundles.ts";
import { makeContent, type TestContent } from "../test/support/content.ts";
import { flip } from "../test/support/forge.ts";
import { tempDir } from "../test/support/temp.ts";
import { type Agent, startAgent } from "./agent.ts";
import type { KernelLine } from "./load/kernel.ts";
import { Store } from "./store/store.ts";

const HOST: KernelLine = { rootId: null, checkMedium: false };
let agent: Agent | undefined;
afterEach(async () => {
	await agent?.stop();
	agent = undefined;
});

async function start(content: TestContent, extra: object = {}, kernel = HOST): Promise<Agent> {
	await agent?.stop();
	agent = await startAgent(content.config(extra), { kernel });
	await agent.settled;
	return agent;
}

const registry = (path: string, init?: RequestInit) => fetch(new URL(path, agent!.state.status.urls.registry!), init);
const faults = () => agent!.state.status.conditions.filter((c) => !c.ok).map((c) => c.code);

async function inodes(folder: string): Promise<string[]> {
	const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((f) => f.isFile());
	const lines = files.map(async (f) => {
		const path = join(f.parentPath, f.name);
		const { ino, ctimeNs } = await stat(path, { bigint: true });
		return `${path} ${ino} ${ctimeNs}`;
	});
	return (await Promise.all(lines)).sort();
}

const SETS = [
	{
		refs: ["docker.io/library/nginx:1.27", "slipway.local/core/redis:7"],
		layers: [3_000_000, 20],
		input: { name: "core" },
	},
	{ refs: ["slipway.local/apps/deep/er/app:2"], compressible: true, layers: [500_000], input: { name: "apps" } },
];

test("verifies, loads and serves every name with its exact bytes, and says so everywhere", async () => {
	const content = await makeContent(await tempDir(), SETS);
	const { state } = await start(content);
	expect(state.status).toMatchObject({ stage: "ready", developmentKey: false, lastError: null });
	expect(state.status.bundles.map((b) => [b.name, b.state])).toEqual([
		["core", "committed"],
		["apps", "committed"],
	]);
	expect(state.status.progress).toMatchObject({
		blobsDone: state.status.progress.blobsTotal,
		bytesDone: state.status.progress.bytesTotal,
	});
	expect(state.status.progress.bytesTotal).toBeGreaterThan(3_000_000);
	for (const { names } of content.bundles) {
		for (const { ref, digest } of names) {
			const [name, tag] = ref.split(":");
			const manifest = await registry(`${name}/manifests/${tag}`);
			const bytes = Buffer.from(await manifest.arrayBuffer());
			expect(`sha256:${createHash("sha256").update(bytes).digest("hex")}`).toBe(digest);
			for (const layer of JSON.parse(bytes.toString()).layers) {
				const blob = Buffer.from(await (await registry(`${name}/blobs/${layer.digest}`)).arrayBuffer());
				expect(`sha256:${createHash("sha256").update(blob).digest("hex")}`).toBe(layer.digest);
			}
		}
	}
});

test("a second start rewrites nothing and reads no bundle; a third without a blob loads just that one", async () => {
	const content = await makeContent(await tempDir(), SETS);
	await start(content);
	const store = join(content.dir, "store", "store");
	const before = await inodes(store);
	// With one byte of its data wrong the bundle would be refused, if it were read.
	const path = content.bundles[0]!.path;
	const bytes = await readFile(path);
	await writeFile(path, Buffer.concat([bytes.subarray(0, 100), Buffer.from([bytes[100]! ^ 1]), bytes.subarray(101)]));
	await start(content);
	expect(agent!.state.status.stage).toBe("ready");
	expect(agent!.state.status.bundles.map((b) => b.state)).toEqual(["committed", "committed"]);
	expect(await inodes(store)).toEqual(before);

	await writeFile(path, bytes);
	const victim = content.bundles[0]!.index.blobs.at(-1)!.digest;
	await agent!.stop();
	const blobs = before.filter((line) => line.includes("/blobs/"));
	await rm((await Store.open(store)).path(victim));
	await start(content);
	expect(agent!.state.status.stage).toBe("ready");
	expect(await readdir(join(store, "ingest"))).toEqual([]);
	const after = (await inodes(store)).filter((line) => line.includes("/blobs/"));
	expect(after.filter((line) => !blobs.includes(line)).map((line) => line.split("/").at(-1)!.split(" ")[0])).toEqual([
		victim.split(":")[1],
	]);
});

test("a new release replaces the old set as a whole; the old one is kept until there is another, then swept", async () => {
	const dir = await tempDir();
	const old = await makeContent(dir, [SETS[0]!]);
	await start(old);
	const replace = async (options: TestBundleOptions) => {
		await rm(old.content, { recursive: true });
		const next = await makeContent(dir, [options], old.signer);
		await start(next);
		const kept = await readdir(join(dir, "store", "store", "blobs"), { recursive: true });
		return { blobs: next.bundles[0]!.index.blobs, kept: kept.filter((path) => path.split("/").length === 3).length };
	};
	const { blobs, kept } = await replace(SETS[1]!);
	expect(await (await registry("_catalog")).json()).toEqual({ repositories: ["slipway.local/apps/deep/er/app"] });
	expect(kept).toBe(old.bundles[0]!.index.blobs.length + blobs.length);
	const last = await replace({ refs: ["slipway.local/last:1"], input: { name: "last" } });
	expect(last.kept).toBe(blobs.length + last.blobs.length);
});

test("while a committed set is there, bad new content degrades and does not stop it", async () => {
	const content = await makeContent(await tempDir(), [SETS[1]!]);
	await start(content);
	await content.writeRelease({
		version: "2.0.0",
		sequence: 2,
		bundles: [{ ...content.release.bundles[0]!, indexDigest: "0".repeat(64) }],
	});
	await start(content);
	expect([agent!.state.status.stage, faults()[0]]).toEqual(["degraded", "E_RELEASE_SET"]);
	expect([agent!.state.status.release?.version, agent!.state.status.bundles[0]?.state]).toEqual(["1.0.0", "committed"]);
	expect((await registry("slipway.local/apps/deep/er/app/manifests/2")).status).toBe(200);
});

test("names in the store are only shown when today's keys signed them", async () => {
	const content = await makeContent(await tempDir(), [SETS[1]!]);
	await start(content);
	const other = await makeContent(await tempDir(), [SETS[0]!]);
	await start(content, { trust: join(other.dir, "trust.pem") });
	expect([agent!.state.status.stage, faults()]).toEqual(["failed", ["E_KEY_UNKNOWN", "E_KEY_UNKNOWN"]]);
	expect((await registry("_catalog")).status).toBe(503);
});

test("without the medium a committed set is served, and a store that was forged is not", async () => {
	const content = await makeContent(await tempDir(), [SETS[1]!]);
	await start(content);
	await rm(content.content, { recursive: true });
	await start(content);
	expect([agent!.state.status.stage, faults()]).toEqual(["degraded", ["E_MEDIA"]]);
	expect((await registry("slipway.local/apps/deep/er/app/manifests/2")).status).toBe(200);

	await agent!.stop();
	const store = join(content.dir, "store", "store");
	const index = content.bundles[0]!.indexDigest;
	const forged = (await readFile(join(store, "signed", `${index}.index.json`), "utf8")).replaceAll(
		"/deep/er/app:2",
		"/evil/one:22",
	);
	const digest = createHash("sha256").update(forged).digest("hex");
	const catalog = (await readFile(join(store, "catalog.json"), "utf8")).replace(index, digest);
	await rename(join(store, "signed", `${index}.envelope.json`), join(store, "signed", `${digest}.envelope.json`));
	await writeFile(join(store, "signed", `${digest}.index.json`), forged);
	await writeFile(join(store, "catalog.json"), catalog);
	await start(content);
	expect([agent!.state.status.stage, faults()]).toEqual(["failed", ["E_RELEASE_SET", "E_MEDIA"]]);
	expect((await registry("_catalog")).status).toBe(503);
});

test("a blob that went bad on disk is never served whole, and is loaded again from the medium", async () => {
	const content = await makeContent(await tempDir(), [SETS[0]!]);
	await start(content);
	const layer = content.bundles[0]!.index.blobs.find((b) => b.size === 3_000_000)!;
	const store = await Store.open(join(content.dir, "store", "store"));
	const bytes = await readFile(store.path(layer.digest));
	bytes[1_000_000]! ^= 1;
	await writeFile(store.path(layer.digest), bytes);
	const get = async () => {
		for (const name of ["docker.io/library/nginx", "slipway.local/core/redis"]) {
			const response = await registry(`${name}/blobs/${layer.digest}`);
			if (response.status !== 404) return Buffer.from(await response.arrayBuffer());
		}
		return undefined;
	};
	await expect(get()).rejects.toThrow();
	await expect.poll(() => agent!.state.status.stage).toBe("ready");
	expect(
		createHash("sha256")
			.update((await get())!)
			.digest("hex"),
	).toBe(layer.digest.split(":")[1]);
});

test("an optional bundle may be absent: degraded, and the rest is served", async () => {
	const content = await makeContent(await tempDir(), SETS);
	const [core, apps] = content.release.bundles;
	await content.writeRelease({ bundles: [core!, { ...apps!, required: false }] });
	await rm(content.bundles[1]!.path);
	await start(content);
	expect(agent!.state.status.stage).toBe("degraded");
	expect(agent!.state.status.bundles.map((b) => b.state)).toEqual(["committed", "absent"]);
	expect((await registry("docker.io/library/nginx/manifests/1.27")).status).toBe(200);
});

test("everything signed with a development key says so", async () => {
	const { testSigner } = await import("../test/support/bundles.ts");
	const content = await makeContent(await tempDir(), [SETS[1]!], testSigner({ development: true }));
	await start(content);
	expect(agent!.state.status.developmentKey).toBe(true);
	await rm(content.content, { recursive: true });
	await start(content, { store: join(content.dir, "empty") });
	expect([agent!.state.status.stage, agent!.state.status.developmentKey]).toEqual(["failed", true]);
});

test("on an appliance the medium's signed list is checked too, each file when the boot menu asked for it", async () => {
	const rootId = "e".repeat(64);
	const content = await makeContent(await tempDir(), [SETS[1]!]);
	const kernel = applianceKernel;
	await noteStart(join(content.dir, "boot"));
	await mkdir(join(content.dir, ".disk"));
	await mkdir(join(content.dir, "live"));
	await writeFile(join(content.dir, "live/rootfs.squashfs"), "root image");
	const sha256 = createHash("sha256").update("root image").digest("hex");
	const { readRelease, makeIsoRelease } = await import("../bundle/release.ts");
	const { trustOf } = await import("../test/support/bundles.ts");
	const release = readRelease(
		await readFile(join(content.content, "release.dsse.json")),
		trustOf(content.signer).release,
	);
	const iso = {
		format: 1 as const,
		critical: [],
		product: "slipway",
		version: "1.0.0",
		arch: "any" as const,
		fips: false,
		buildId: "f".repeat(64),
		rootId,
		files: [{ path: "live/rootfs.squashfs", size: 10, sha256 }],
		contentRelease: release.digest,
		annotations: {},
	};
	const write = async (change: object = {}) =>
		writeFile(
			join(content.dir, ".disk/iso-release.dsse.json"),
			await makeIsoRelease({ ...iso, ...change }, content.signer),
		);

	await write({ contentRelease: "0".repeat(64) });
	await start(content, {}, kernel(rootId, false));
	expect(faults()).toEqual(["E_RELEASE_SET"]);
	await write({ product: "other", arch: process.arch === "arm64" ? "amd64" : "arm64", fips: true });
	await start(content, {}, kernel(rootId, false));
	expect(faults()).toEqual(["E_RELEASE", "E_RELEASE", "E_RELEASE"]);
	await write();
	await start(content, { product: "another" }, kernel(rootId, false));
	expect(faults()).toEqual(["E_RELEASE", "E_RELEASE"]);
	await start(content, {}, kernel("d".repeat(64), false));
	expect(faults()).toEqual(["E_RELEASE_ROOT"]);

	await start(content, {}, kernel(rootId, true));
	expect(agent!.state.status).toMatchObject({
		stage: "ready",
		buildId: "f".repeat(64),
		mediumCheck: { done: 2, total: 2, bad: [] },
	});
	const { bytesDone, bytesTotal } = agent!.state.status.mediumCheck!;
	expect([bytesDone, bytesTotal]).toEqual(Array(2).fill(10 + (await stat(content.bundles[0]!.path)).size));
	// A committed set is not read again; the check of the medium reads it all the same.
	const { path, index } = content.bundles[0]!;
	const whole = await readFile(path);
	await writeFile(path, flip(Buffer.from(whole), index.dataLength >> 1));
	await start(content, {}, kernel(rootId, true));
	expect(agent!.state.status.mediumCheck).toMatchObject({ done: 2, total: 2, bad: [`content/${basename(path)}`] });
	expect([agent!.state.status.stage, faults()]).toEqual(["degraded", ["E_DIGEST_MISMATCH"]]);
	await writeFile(path, whole);
	await writeFile(join(content.dir, "live/rootfs.squashfs"), "root imagE");
	await start(content, {}, kernel(rootId, true));
	expect(agent!.state.status.mediumCheck!.bad).toEqual(["live/rootfs.squashfs"]);
	expect(faults()).toEqual(["E_DIGEST_MISMATCH"]);
});
