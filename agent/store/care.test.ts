import { createHash, randomBytes } from "node:crypto";
import { lstat, mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { beforeEach, expect, test, vi } from "vitest";
import { rot } from "../../test/support/rot.ts";
import { tempDir } from "../../test/support/temp.ts";
import { State, type Status } from "../status/state.ts";
import { evidenceOf } from "./evidence.ts";
import { fsck } from "./fsck.ts";
import { Scrub } from "./scrub.ts";
import { StoreSource } from "./source.ts";
import { type Blob, Store } from "./store.ts";

/** fsck and scrub against blobs whose bytes rotted on the disk, that is with everything about their files as it was. */

let folder = "";
let store: Store;
let told: string[] = [];
let source: StoreSource;
let state: State;
beforeEach(async () => {
	folder = await tempDir();
	store = await Store.open(join(folder, "store"));
	told = [];
	source = new StoreSource(store, (digest) => told.push(digest));
	state = new State({ conditions: [] } as unknown as Status);
});

interface Made extends Blob {
	readonly data: Buffer;
}

function blob(size: number, algorithm: "sha256" | "sha512" = "sha256"): Made {
	const data = randomBytes(size);
	return { data, size, digest: `${algorithm}:${createHash(algorithm).update(data).digest("hex")}` };
}

async function put({ digest, data }: Made): Promise<void> {
	await mkdir(dirname(store.path(digest)), { recursive: true });
	await writeFile(store.path(digest), data);
}

/** Commits blobs, as evidence with what their files look like now. */
async function commit(blobs: readonly Made[], release = "1"): Promise<void> {
	const seen = await Promise.all(
		blobs.map(async ({ digest }) => [digest, evidenceOf(await lstat(store.path(digest), { bigint: true }))] as const),
	);
	await store.commit({ release: release.repeat(64), bundles: [], blobs: Object.fromEntries(seen) });
}

/** Commits all of them, then lets some rot. */
async function commitRotten(bad: readonly Made[], all: readonly Made[]): Promise<void> {
	await commit(all);
	await rot(
		store,
		bad.map((b) => b.digest),
	);
}

const condemn = (digest: string, fault: string, seen?: Parameters<StoreSource["condemn"]>[2]) =>
	source.condemn(digest, fault, seen);
const check = (mode: "quick" | "full") => fsck(store, { mode, condemn });
const sorted = (blobs: readonly Blob[]) => blobs.map((b) => b.digest).sort();

interface Time {
	readonly slept: number[];
	readonly scrub: Scrub;
}

async function openScrub(options: { everyHours?: number; isBusy?: () => boolean } = {}): Promise<Time> {
	const slept: number[] = [];
	const scrub = await Scrub.open({
		folder: join(folder, "state"),
		everyHours: options.everyHours ?? 0,
		state,
		source: async () => source,
		isBusy: options.isBusy ?? (() => false),
		sleep: async (ms) => void slept.push(ms),
	});
	return { slept, scrub };
}

test("500 rotten blobs: the scrub finds every one, and none is ever answered with bytes that are not its own", async () => {
	const good = Array.from({ length: 100 }, () => blob(500));
	const bad = Array.from({ length: 500 }, (_, i) => blob(1 + i * 20, i % 7 === 0 ? "sha512" : "sha256"));
	const all = [...good, ...bad];
	for (const b of all) await put(b);
	await commitRotten(bad, all);
	expect((await store.untrusted(all)).length).toBe(0); // by its look the store is whole

	const { scrub } = await openScrub();
	scrub.start();
	let wrong = 0;
	const pull = async (b: Made) => {
		const parts = b.size > 9000 ? [0, b.size - 1] : [Math.min(3, b.size - 1), b.size - 1];
		const bytes = await source
			.stream(b.digest, b.size, parts[0]!, parts[1]!)
			.then(async (pieces) => buffer(copies(pieces)))
			.catch(() => undefined);
		if (bytes !== undefined && !bytes.equals(b.data.subarray(parts[0], parts[1]! + 1))) wrong++;
	};
	await Promise.all(all.filter((_, i) => i % 5 === 0).map(pull));
	await scrub.settled();
	expect([...new Set(told)].sort()).toEqual(sorted(bad)); // before anybody asks for the rest
	await Promise.all(all.map(pull));
	expect(wrong).toBe(0);
	expect([...new Set(told)].sort()).toEqual(sorted(bad));
	expect((await store.untrusted(all)).map((b) => b.digest).sort()).toEqual(sorted(bad));
	expect(state.status.scrub.last?.blobs).toBe(600);
	await scrub.stop();
});

/** A source uses its memory again, so pieces are copied as they come. */
async function* copies(pieces: AsyncIterable<Buffer>) {
	for await (const piece of pieces) yield Buffer.from(piece);
}

test("a quick check reads nothing that looks as recorded; a full one finds what rotted, and puts it into quarantine", async () => {
	const [fine, rotten, touched, gone, changed] = [blob(300_000), blob(400_000), blob(100), blob(200), blob(700)];
	const all = [fine, rotten, touched, gone, changed];
	for (const b of all) await put(b);
	await commitRotten([rotten], all);
	await writeFile(store.path(touched.digest), touched.data); // the same bytes, another look
	await rm(store.path(gone.digest));
	await writeFile(store.path(changed.digest), Buffer.concat([changed.data, Buffer.from("and more")]));
	const quick = await check("quick");
	expect([quick.ok, quick.blobs, quick.bytes]).toEqual([false, 5, touched.size]);
	const names = (faults: readonly { name: string }[]) => faults.map((fault) => fault.name);
	expect([names(quick.bad), names(quick.missing)]).toEqual([[changed.digest], [gone.digest]]);
	expect(told.sort()).toEqual([changed.digest, gone.digest].sort());
	expect(await store.trusted(touched.digest, touched.size)).toBeDefined(); // proved, and recorded anew

	const full = await check("full");
	expect(names(full.bad)).toEqual([rotten.digest]);
	expect(names(full.missing).sort()).toEqual([changed.digest, gone.digest].sort());
	expect((await readdir(join(store.folder, "quarantine"))).length).toBe(2);
	await expect(store.open(rotten.digest)).rejects.toMatchObject({ code: "ENOENT" });
});

test("a check names damaged documents, a damaged catalog, and files that nothing needs", async () => {
	const b = blob(10);
	await put(b);
	await commit([b]);
	await writeFile(join(store.folder, "signed", `${"1".repeat(64)}.release.json`), "{}");
	await put(blob(20));
	await writeFile(join(store.folder, "stranger"), "");
	await writeFile(join(store.folder, "signed", `${"1".repeat(64)}.index.json.new`), "half");
	const found = await check("quick");
	expect(found.documents).toEqual([expect.objectContaining({ name: `${"1".repeat(64)}.release.json` })]);
	expect(found.extra.length).toBe(3);
	expect(found.extra).toContain("stranger");
	await writeFile(join(store.folder, "catalog.json"), "{");
	const again = await fsck(await Store.open(store.folder), { mode: "quick", condemn });
	expect([again.ok, again.documents[0]?.name, again.releases]).toEqual([false, "catalog.json", []]);
});

test("a file that a repair has replaced while the old one was read is left alone", async () => {
	const b = blob(3_000_000);
	await put(b);
	await commitRotten([b], [b]);
	let repaired = false;
	const report = await fsck(store, {
		mode: "full",
		condemn,
		pace: async () => {
			if (repaired) return;
			repaired = true;
			await rm(store.path(b.digest));
			await put(b);
		},
	});
	expect(report.ok).toBe(false); // what was read was bad
	expect(told).toEqual([]);
	expect(await readFile(store.path(b.digest))).toEqual(b.data);
});

test("a blob that is cut short after it was found right never makes a whole answer", async () => {
	const b = blob(600_000);
	await put(b);
	await commit([b]);
	await source.read(b.digest, b.size);
	await truncate(store.path(b.digest), 599_999);
	const answer = source.stream(b.digest, b.size, 10, b.size - 1).then((pieces) => buffer(copies(pieces)));
	await expect(answer).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	expect(told).toEqual([b.digest]);
});

test("the end of a scrub leaves a damaged document told, and finds one that nobody has looked at", async () => {
	const b = blob(1000);
	await put(b);
	await commit([b]); // its signed release is missing
	const { scrub } = await openScrub();
	for (let i = 0; i < 2; i++) {
		scrub.start();
		await scrub.settled();
		expect(state.status.conditions).toContainEqual(
			expect.objectContaining({ name: "storeDocuments", ok: false, code: "E_STORE" }),
		);
	}
	await scrub.stop();
});

test("a check that is given up ends at once", async () => {
	const b = blob(3_000_000);
	await put(b);
	await commit([b]);
	const giveUp = new AbortController();
	const work = fsck(store, {
		mode: "full",
		condemn,
		signal: giveUp.signal,
		pace: () => giveUp.abort(new Error("gone")),
	});
	await expect(work).rejects.toThrow("gone");
});

test("the scrub keeps to a tenth of a core and to its rate, and waits for who is busy, not for ever", async () => {
	const all = Array.from({ length: 3 }, () => blob(12 * 2 ** 20));
	for (const b of all) await put(b);
	await commit(all);
	const { scrub, slept } = await openScrub();
	const began = performance.now();
	scrub.start();
	await scrub.settled();
	const worked = performance.now() - began;
	const total = slept.reduce((sum, ms) => sum + ms, 0);
	// Four strides of 8 MiB take a second at 32 MiB/s, however much of it is work.
	expect(total + worked).toBeGreaterThanOrEqual(1000);
	expect(total).toBeGreaterThan(worked);

	const busy = await openScrub({ isBusy: () => true });
	busy.scrub.start();
	await busy.scrub.settled();
	expect(busy.slept.filter((ms) => ms === 250).length).toBeGreaterThanOrEqual(40);
	expect(state.status.scrub.last?.bytes).toBe(36 * 2 ** 20);
});

test("a scrub that is stopped goes on behind the blob that it read last", async () => {
	const all = Array.from({ length: 40 }, () => blob(1000)).sort((a, b) => (a.digest < b.digest ? -1 : 1));
	for (const b of all) await put(b);
	await commitRotten([all[3]!, all[30]!], all);
	await mkdir(join(folder, "state"), { recursive: true });
	const record = { format: 1, uptimeMs: 5000, position: all[9]!.digest, last: null };
	await writeFile(join(folder, "state/scrub.json"), JSON.stringify(record));
	const { scrub } = await openScrub();
	await scrub.settled();
	expect(told).toEqual([all[30]!.digest]);
	await scrub.stop();
	const kept = JSON.parse(await readFile(join(folder, "state/scrub.json"), "utf8"));
	expect(kept).toMatchObject({ position: null, last: { blobs: 30, bad: 1 } });
	expect(kept.uptimeMs).toBeLessThan(5000);
	scrub.start(); // too late
	expect(scrub.status.running).toBe(false);
});

test("a scrub comes with uptime, whatever the wall clock does", async () => {
	vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance", "Date"] });
	try {
		const { scrub } = await openScrub({ everyHours: 2 });
		for (const year of ["1970", "2099", "2001"]) {
			vi.setSystemTime(new Date(`${year}-06-01T00:00:00Z`));
			await vi.advanceTimersByTimeAsync(35 * 60_000);
			await scrub.settled();
			expect(scrub.status.last).toBeNull();
		}
		// Two hours are over, twice; the uptime of the first is kept over a restart, what was in the air is lost.
		await vi.advanceTimersByTimeAsync(16 * 60_000);
		await scrub.settled();
		expect(scrub.status.last?.ended).toMatch(/^2001-06-01T00:5/);
		await vi.advanceTimersByTimeAsync(100 * 60_000);
		await scrub.stop();
		const after = await openScrub({ everyHours: 2 });
		const before = after.scrub.status.last;
		await vi.advanceTimersByTimeAsync(10 * 60_000);
		expect(after.scrub.status.last).toEqual(before);
		await vi.advanceTimersByTimeAsync(11 * 60_000);
		await after.scrub.settled();
		expect(after.scrub.status.last).not.toEqual(before);
		await after.scrub.stop();
	} finally {
		vi.useRealTimers();
	}
});

test.each([
	["nothing", undefined],
	["half a record", '{"format":1,"upt'],
	["another form", '{"format":1,"uptimeMs":-5,"position":"../../etc/passwd","last":null}'],
])("a record that holds %s is as good as none", async (_, text) => {
	await mkdir(join(folder, "state"), { recursive: true });
	if (text !== undefined) await writeFile(join(folder, "state/scrub.json"), text);
	const { scrub } = await openScrub({ everyHours: 1 });
	expect(scrub.status).toEqual({ running: false, bytesDone: 0, bytesTotal: 0, last: null });
	await scrub.stop();
});
