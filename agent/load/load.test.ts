import { lstat, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { trustOf, writeSignature } from "../../test/support/bundles.ts";
import { makeContent, type TestContent } from "../../test/support/content.ts";
import { flip } from "../../test/support/forge.ts";
import { tempDir } from "../../test/support/temp.ts";
import { State, type Status } from "../status/state.ts";
import { StoreSource } from "../store/source.ts";
import { Store } from "../store/store.ts";
import { closeCandidates, findCandidates } from "../trust/candidates.ts";
import { TrustLedger } from "../trust/ledger.ts";
import { readContentRelease } from "../trust/release.ts";
import { loadSet } from "./load.ts";
import { checkSpace } from "./space.ts";

const LAYERS = [1_500_000, 1_500_000, 1_500_000, 1_500_000, 1_500_000, 1_500_000];

let content: TestContent;
beforeEach(async () => {
	content = await makeContent(await tempDir(), [{ layers: LAYERS }, { refs: ["a.b/c:1"], input: { name: "two" } }]);
});

const storeFolder = () => join(content.dir, "store", "store");

/** One start of an agent's load. It is stopped when so many blobs are done, if that is given. */
async function load(stopAt = Number.POSITIVE_INFINITY): Promise<Store> {
	const trust = trustOf(content.signer);
	const store = await Store.open(storeFolder());
	const ledger = await TrustLedger.open(join(content.dir, "store", "trust"), trust);
	const release = await readContentRelease(content.content, trust);
	const candidates = await findCandidates(content.content, release.release, trust);
	const state = new State({ bundles: [] } as unknown as Status);
	const stop = new AbortController();
	state.subscribe(() => {
		if ((state.status.progress?.blobsDone ?? 0) >= stopAt) stop.abort();
	});
	const source = new StoreSource(store, () => expect.unreachable());
	try {
		await loadSet(store, source, ledger, { release, candidates, state, signal: stop.signal });
		return store;
	} finally {
		await closeCandidates(candidates);
	}
}

/** Inode and time of writing of each blob in the store. */
async function stored(): Promise<Map<string, string>> {
	const folder = join(storeFolder(), "blobs");
	const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
	const look = files.map(async ({ name, parentPath }) => {
		const { ino, mtimeNs } = await lstat(join(parentPath, name), { bigint: true });
		return [name, `${ino} ${mtimeNs}`] as const;
	});
	return new Map(await Promise.all(look));
}

test("a load that is stopped leaves no half blob, and is gone on with: what is stored is not touched", async () => {
	await expect(load(6)).rejects.toMatchObject({ code: "E_INTERRUPTED" });
	expect(await readdir(join(storeFolder(), "ingest"))).toEqual([]);
	const before = await stored();
	expect(before.size).toBeGreaterThanOrEqual(4);
	const journal = await readFile(join(storeFolder(), "journal"), "utf8");
	for (const hex of before.keys()) expect(journal).toContain(hex);

	// A frame of a stored blob goes bad on the medium: nothing of it is decoded, the whole file still tells.
	const { path, sigPath, index } = content.bundles[0]!;
	const good = await readFile(path);
	const large = index.blobs.find(({ digest, size }) => size > 1_000_000 && before.has(digest.slice(7)))!;
	const at = index.frames.slice(0, large.frame).reduce((sum, [size]) => sum + size, 0) + 1000;
	await writeFile(path, flip(Buffer.from(good), at));
	await expect(load()).rejects.toMatchObject({
		code: "E_FRAME",
		message: expect.stringContaining(`frame ${large.frame} (`),
	});
	await writeFile(path, good);
	await writeSignature(content.signer, Buffer.from("another file"), sigPath);
	await expect(load()).rejects.toMatchObject({ code: "E_SIG_INVALID" });
	expect((await Store.open(storeFolder())).catalog).toBeUndefined();
	await writeSignature(content.signer, good, sigPath);

	const store = await load();
	const after = await stored();
	for (const [hex, look] of before) expect([hex, after.get(hex)]).toEqual([hex, look]);
	const blobs = content.bundles.flatMap((bundle) => bundle.index.blobs);
	expect(Object.keys(store.catalog!.blobs).sort()).toEqual([...new Set(blobs.map((b) => b.digest))].sort());
	for (const { digest } of blobs) expect(after.has(digest.slice(7))).toBe(true);
});

test("a stop during the last hash of the whole file is no commit", async () => {
	const all = content.bundles.reduce((sum, bundle) => sum + bundle.index.blobs.length, 0);
	await expect(load(all)).rejects.toMatchObject({ code: "E_INTERRUPTED" });
	expect((await Store.open(storeFolder())).catalog).toBeUndefined();
});

test("the configured limit refuses before anything is written, names itself, and leaves what is stored alone", async () => {
	const store = await Store.open(storeFolder());
	const indexes = content.bundles.map((bundle) => bundle.index);
	await expect(checkSpace(store, indexes, 8)).rejects.toMatchObject({
		code: "E_NO_SPACE",
		message: expect.stringMatching(/may take 8 MiB \(limits\.storeMiB\); it takes \d+ MiB .* needs 9 MiB more/),
	});
	expect((await stored()).size).toBe(0);
	await checkSpace(store, indexes, 10);
	await load();
	// All is there: nothing more is needed, whatever the limit says now.
	await checkSpace(await Store.open(storeFolder()), indexes, 1);
});
