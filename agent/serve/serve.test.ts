import { createHash } from "node:crypto";
import { readdir, readFile, rename, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { writeSignature } from "../../test/support/bundles.ts";
import { makeContent, type TestContent } from "../../test/support/content.ts";
import { flip } from "../../test/support/forge.ts";
import { openFiles } from "../../test/support/open-files.ts";
import { tempDir } from "../../test/support/temp.ts";
import { type Agent, startAgent } from "../agent.ts";
import { Store } from "../store/store.ts";
import { Medium } from "./medium.ts";

/** What is served before anything is in the store, or when nothing ever is. */

let agent: Agent | undefined;
afterEach(async () => {
	vi.restoreAllMocks();
	await agent?.stop();
	agent = undefined;
});

const SET = [{ refs: ["docker.io/library/nginx:1.27"], layers: [3_000_000, 20], input: { name: "core" } }];
const newContent = async () => makeContent(await tempDir(), SET);

async function start(content: TestContent, extra: object = {}): Promise<void> {
	agent = await startAgent(content.config(extra), { kernel: { rootId: null, checkMedium: false } });
}

const status = () => agent!.state.status;
const faults = () => status().conditions.flatMap((c) => (c.ok ? [] : [[c.name, c.code]]));
const registry = (path: string, init?: RequestInit) => fetch(new URL(path, status().urls.registry!), init);
const readyz = async () => (await fetch(new URL("readyz", status().urls.status!))).status;
const layer = (content: TestContent) => content.bundles[0]!.index.blobs.find((b) => b.size === 3_000_000)!.digest;
const blobPath = (content: TestContent) => `docker.io/library/nginx/blobs/${layer(content)}`;
const MANIFEST = "docker.io/library/nginx/manifests/1.27";

/** The names answer, and the layer has its digest. */
async function pull(content: TestContent): Promise<void> {
	expect((await registry(MANIFEST)).status).toBe(200);
	const bytes = Buffer.from(await (await registry(blobPath(content))).arrayBuffer());
	expect(`sha256:${createHash("sha256").update(bytes).digest("hex")}`).toBe(layer(content));
}

async function blobsIn(content: TestContent): Promise<number> {
	const all = await readdir(join(content.dir, "store"), { recursive: true, withFileTypes: true });
	return all.filter((f) => f.isFile() && f.parentPath.includes("blobs")).length;
}

test("names and blobs are served while the load runs, and a pull that began before its end goes on", async () => {
	const content = await newContent();
	let release = () => {};
	const commit = vi.spyOn(Store.prototype, "commit");
	const real = commit.getMockImplementation() ?? Store.prototype.commit;
	commit.mockImplementation(async function (this: Store, ...args) {
		await new Promise<void>((resolve) => {
			release = resolve;
		});
		commit.mockRestore();
		return real.apply(this, args);
	});
	await start(content);
	await expect.poll(() => commit.mock.calls.length).toBe(1);
	expect([status().stage, status().servedFrom, status().mediumPresent, await readyz()]).toEqual([
		...["serving", "medium", true],
		503,
	]);
	await pull(content);
	const slow = (await registry(blobPath(content))).body!.getReader();
	const first = await slow.read();
	release();
	await agent!.settled;
	expect([status().stage, status().servedFrom, status().mediumPresent, await readyz()]).toEqual([
		...["ready", "store", null],
		200,
	]);
	const hash = createHash("sha256").update(first.value!);
	for (let part = await slow.read(); !part.done; part = await slow.read()) hash.update(part.value);
	expect(`sha256:${hash.digest("hex")}`).toBe(layer(content));
});

test("in place nothing is copied: names, blobs and parts of them come out of the bundle", async () => {
	const content = await newContent();
	await start(content, { serve: "in-place" });
	await agent!.settled;
	expect([status().stage, status().servedFrom, await readyz()]).toEqual(["ready", "medium", 200]);
	await pull(content);
	const whole = Buffer.from(await (await registry(blobPath(content))).arrayBuffer());
	const part = await registry(blobPath(content), { headers: { range: "bytes=1048570-2097160" } });
	expect([part.status, Buffer.from(await part.arrayBuffer()).equals(whole.subarray(1048570, 2097161))]).toEqual([
		206,
		true,
	]);
	await expect.poll(() => status().conditions.find((c) => c.name === "wholeFileVerified")?.code).toBe(null);
	expect([status().bundles.map((b) => b.state), await blobsIn(content)]).toEqual([["in-place"], 0]);
});

test("in place, a bundle whose whole-file signature is another's loses its names", async () => {
	const content = await newContent();
	const { path, signer } = content.bundles[0]!;
	await writeSignature(signer, Buffer.from("other bytes"), path.replace(/zst$/, "sig.bin"));
	await start(content, { serve: "in-place" });
	await agent!.settled;
	await expect.poll(() => status().stage).toBe("failed");
	expect([faults(), status().bundles.map((b) => b.state)]).toEqual([[["wholeFileVerified", "E_SIG_INVALID"]], ["bad"]]);
	expect([(await registry(MANIFEST)).status, await readyz()]).toEqual([503, 503]);
});

test("in place, a damaged frame never makes a complete answer, and the set is refused naming it", async () => {
	const content = await newContent();
	const { path, index } = content.bundles[0]!;
	await writeFile(path, flip(await readFile(path), index.dataLength >> 1));
	await start(content, { serve: "in-place" });
	await agent!.settled;
	const complete = registry(blobPath(content)).then(async (r) => r.ok && (await r.arrayBuffer()).byteLength > 0);
	expect(await complete.catch(() => false)).toBe(false);
	await expect.poll(() => status().stage).toBe("failed");
	expect(status().lastError).toMatchObject({ code: "E_FRAME", cause: expect.stringMatching(/frame \d+ \(bytes/i) });
});

test("a medium that can be read no more is told, and serves again when it is back", async () => {
	const content = await newContent();
	const { path } = content.bundles[0]!;
	const bytes = await readFile(path);
	await start(content, { serve: "in-place" });
	await agent!.settled;
	await expect.poll(() => status().conditions.find((c) => c.name === "wholeFileVerified")?.code).toBe(null);
	await truncate(path, 100);
	expect((await registry(blobPath(content))).status).toBe(503);
	await expect.poll(faults).toEqual([["medium", "E_MEDIUM_GONE"]]);
	expect([status().stage, status().mediumPresent, await readyz()]).toEqual(["degraded", false, 503]);
	expect((await registry(blobPath(content))).status).toBe(503);
	await writeFile(path, bytes);
	await expect.poll(() => status().stage).toBe("ready");
	await pull(content);
	expect([faults(), await readyz()]).toEqual([[], 200]);
});

test.each(["store", "in-place"] as const)(
	"a medium that is pulled out before its names are shown is waited for, and let go when the agent stops (serve: %s)",
	async (serve) => {
		const content = await newContent();
		const { path } = content.bundles[0]!;
		const real = Medium.of;
		vi.spyOn(Medium, "of").mockImplementationOnce(async (...args) => {
			const medium = await real(...args);
			await rename(path, `${path}.away`);
			vi.spyOn(medium.bundles[0]!.fd, "readv").mockRejectedValue(new Error("EIO: i/o error, read"));
			return medium;
		});
		await start(content, { serve });
		await agent!.settled;
		expect(faults()).toContainEqual(["medium", "E_MEDIUM_GONE"]);
		expect([status().stage, status().servedFrom]).toEqual(["failed", null]);
		await rename(`${path}.away`, path);
		await expect.poll(() => status().stage).toBe("ready");
		await pull(content);
		await agent!.stop();
		await expect.poll(() => openFiles(content.dir)).toEqual([]);
	},
);
