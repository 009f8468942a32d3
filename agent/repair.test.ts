import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { MEDIA_TYPE } from "../bundle/oci.ts";
import { nameOf, packOf, putBlob, putJson, testSigner, trustOf } from "../test/support/bundles.ts";
import { makeContent, type TestContent } from "../test/support/content.ts";
import { flip } from "../test/support/forge.ts";
import { tempDir } from "../test/support/temp.ts";
import { type Agent, startAgent } from "./agent.ts";
import { loadSet } from "./load/load.ts";
import { State, type Status } from "./status/state.ts";
import { checkDocuments } from "./store/fsck.ts";
import { Store } from "./store/store.ts";
import { tellCheck } from "./store/tell.ts";
import { findCandidates } from "./trust/candidates.ts";
import { TrustLedger } from "./trust/ledger.ts";
import { readContentRelease } from "./trust/release.ts";

/** What becomes of the store and of readiness when blobs are lost, or a set cannot be loaded or served. */

const REF = "slipway.local/core/nginx:1.27";
let agent: Agent | undefined;
afterEach(async () => {
	vi.useRealTimers();
	await agent?.stop();
	agent = undefined;
});

async function start(content: TestContent): Promise<Agent> {
	await agent?.stop();
	agent = await startAgent(content.config(), { kernel: { rootId: null, checkMedium: false } });
	await agent.settled;
	return agent;
}

const stage = () => agent!.state.status.stage;
const faults = () => agent!.state.status.conditions.filter((c) => !c.ok).map((c) => [c.name, c.code]);
const registry = (path: string) => fetch(new URL(path, agent!.state.status.urls.registry!));
const readyz = async () => (await fetch(new URL("readyz", agent!.state.status.urls.status!))).status;
const storeOf = (content: TestContent) => Store.open(join(content.dir, "store", "store"));

async function blobsIn(content: TestContent): Promise<string[]> {
	const folder = join(content.dir, "store", "store", "blobs");
	const files = await readdir(folder, { recursive: true, withFileTypes: true });
	return files.filter((file) => file.isFile()).map((file) => file.name);
}

test("a lost blob ends readiness until the medium is back and it is loaded again, as often as it takes", async () => {
	vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"], shouldAdvanceTime: true });
	const content = await makeContent(await tempDir(), [{ refs: [REF], layers: [600_000] }]);
	await start(content);
	expect([stage(), await readyz()]).toEqual(["ready", 200]);
	const { digest } = content.bundles[0]!.index.blobs.find((b) => b.size === 600_000)!;
	const path = `slipway.local/core/nginx/blobs/${digest}`;
	const away = `${content.content}-away`;
	for (let round = 0; round < 5; round++) {
		const file = (await storeOf(content)).path(digest);
		await writeFile(file, flip(await readFile(file), 1000));
		await rename(content.content, away);
		await expect(registry(path).then((r) => r.arrayBuffer())).rejects.toThrow();
		await vi.advanceTimersByTimeAsync(30_000); // the pause behind an earlier repair
		await expect.poll(faults).toContainEqual(["content", "E_MEDIA"]);
		expect([stage(), await readyz(), agent!.state.status.missingBlobs]).toEqual(["degraded", 503, [digest]]);
		expect((await registry("slipway.local/core/nginx/manifests/1.27")).status).toBe(200);
		expect((await registry(path)).status).toBeGreaterThanOrEqual(500);
		await rename(away, content.content);
		await vi.advanceTimersByTimeAsync(30_000);
		await expect.poll(stage).toBe("ready");
		expect([faults(), await readyz()]).toEqual([[], 200]);
	}
	expect((await (await registry(path)).arrayBuffer()).byteLength).toBe(600_000);
});

test("after a restart without the medium all but a lost blob is served, until the medium is back", async () => {
	const content = await makeContent(await tempDir(), [{ refs: [REF], layers: [600_000, 70_000] }]);
	await start(content);
	await agent!.stop();
	const blobs = content.bundles[0]!.index.blobs;
	const [lost, kept] = [600_000, 70_000].map((size) => blobs.find((b) => b.size === size)!.digest);
	const file = (await storeOf(content)).path(lost!);
	await writeFile(file, flip(await readFile(file), 1000)); // it no longer looks as recorded, and its bytes are wrong
	const away = `${content.content}-away`;
	await rename(content.content, away);
	await start(content);
	expect([stage(), await readyz(), agent!.state.status.missingBlobs]).toEqual(["degraded", 503, [lost]]);
	expect(faults()).toEqual(
		expect.arrayContaining([
			["content", "E_MEDIA"],
			["blobs", "E_BLOB_MISSING"],
		]),
	);
	const answers = ["manifests/1.27", `blobs/${kept}`, `blobs/${lost}`];
	const statuses = answers.map(async (path) => (await registry(`slipway.local/core/nginx/${path}`)).status);
	expect(await Promise.all(statuses)).toEqual([200, 200, 503]);
	await rename(away, content.content);
	await expect.poll(stage).toBe("ready");
	expect([faults(), await readyz()]).toEqual([[], 200]);
	expect((await (await registry(`slipway.local/core/nginx/blobs/${lost}`)).arrayBuffer()).byteLength).toBe(600_000);
});

test("a damaged signed document is told until the medium's set was loaded in its place", async () => {
	const content = await makeContent(await tempDir(), [{ refs: [REF] }]);
	await start(content);
	const store = await storeOf(content);
	const file = join(store.folder, "signed", `${store.catalog!.release}.release.json`);
	await writeFile(file, flip(await readFile(file), 10));
	tellCheck(agent!.state, await checkDocuments(store), []);
	expect([stage(), faults()]).toEqual(["degraded", [["storeDocuments", "E_STORE"]]]);
	const release = join(content.content, "release.dsse.json");
	await writeFile(release, await readFile(release)); // the medium is put in again
	await expect.poll(stage).toBe("ready");
	expect([faults(), await checkDocuments(store)]).toEqual([[], []]);
});

test("a bad blob that is met while the set is brought up leaves nothing behind once it is loaded again", async () => {
	const content = await makeContent(await tempDir(), [{ refs: [REF] }]);
	await start(content);
	await agent!.stop();
	const { digest } = content.bundles[0]!.names[0]!;
	const store = await storeOf(content);
	const file = store.path(digest);
	await writeFile(file, flip(await readFile(file), 10));
	// As after a fault of the disk: the file looks as the catalog has it.
	const { ino, ctimeNs } = await import("node:fs").then((fs) => fs.lstatSync(file, { bigint: true }));
	const { blobs } = store.catalog!;
	const seen = blobs[digest]!;
	await store.commit({ ...store.catalog!, blobs: { ...blobs, [digest]: [seen[0], String(ino), String(ctimeNs)] } });
	await start(content);
	expect([stage(), faults(), await readyz()]).toEqual(["ready", [], 200]);
});

test("a set that is refused midway leaves no blob of its own, beside a committed set and without one", async () => {
	const dir = await tempDir();
	const good = await makeContent(dir, [{ refs: [REF] }]);
	await start(good);
	const before = await blobsIn(good);
	await rm(good.content, { recursive: true });
	const bundles = [
		{ refs: ["a.local/b/c:1"], layers: [900_000], input: { name: "first" } },
		{ refs: ["a.local/d/e:1"], layers: [900_000], input: { name: "second" } },
	];
	const bad = await makeContent(dir, bundles, good.signer);
	const { path, index } = bad.bundles[1]!;
	await writeFile(path, flip(await readFile(path), index.dataLength >> 1));
	await start(bad);
	expect([stage(), faults()]).toEqual(["degraded", [["load", "E_FRAME"]]]);
	expect((await blobsIn(bad)).sort()).toEqual(before.sort());
	await agent!.stop();
	await rm(join(dir, "store"), { recursive: true });
	await start(bad);
	expect([stage(), await blobsIn(bad)]).toEqual(["failed", []]);
});

test("an artifact's layer that calls itself an image index is a blob, and served as one", async () => {
	const dir = await tempDir();
	const blobDir = join(dir, "content", "blobs");
	const layer = await putBlob(blobDir, Buffer.from("no manifest at all"), MEDIA_TYPE.ociIndex);
	const config = await putJson(blobDir, {}, "application/vnd.oci.empty.v1+json");
	const artifact = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [layer] };
	const manifest = await putJson(blobDir, artifact, MEDIA_TYPE.ociManifest);
	const names = [nameOf("a.local/art/one:1", manifest)];
	const content = await makeContent(dir, [{ input: { packs: [packOf("art", names, { arch: "any" })] } }]);
	await start(content);
	expect([stage(), faults()]).toEqual(["ready", []]);
	expect(await (await registry(`a.local/art/one/blobs/${layer.digest}`)).text()).toBe("no manifest at all");
});

test("a set whose view cannot be built is never committed", async () => {
	const signer = testSigner();
	const content = await makeContent(await tempDir(), [{ refs: [REF] }], signer);
	const store = await storeOf(content);
	const trust = trustOf(signer);
	const release = await readContentRelease(content.content, trust);
	const candidates = await findCandidates(content.content, release.release, trust);
	const state = new State({ bundles: [] } as unknown as Status);
	const broken = { read: () => Promise.reject(new Error("no view")), stream: () => expect.unreachable() };
	const ledger = await TrustLedger.open(join(content.dir, "trust"), trust);
	await expect(
		loadSet(store, broken, ledger, { release, candidates, state, signal: new AbortController().signal }),
	).rejects.toThrow("no view");
	expect([store.catalog, (await storeOf(content)).catalog]).toEqual([undefined, undefined]);
});
