import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { State, type Status } from "../status/state.ts";
import { evidenceOf } from "../store/evidence.ts";
import { Scrub } from "../store/scrub.ts";
import { StoreSource } from "../store/source.ts";
import { Store } from "../store/store.ts";
import { askAgent } from "./client.ts";
import { createControl } from "./control.ts";
import { CONTROL_HOST, controlPath, listenOnSocket } from "./socket.ts";

/** The control socket: who may open it, what replaces what, one piece of work at a time, and errors as a client gets them. */

let close: (() => Promise<void>) | undefined;
afterEach(async () => {
	await close?.();
	close = undefined;
});

/** `gate` is passed before the store is given. */
async function open(run: string, gate: () => Promise<unknown> = async () => undefined) {
	const state = new State({
		conditions: [],
		bundles: [],
		servedFrom: "store",
		missingBlobs: [],
		stage: "ready",
	} as unknown as Status);
	const source = new StoreSource(await Store.open(join(run, "store")), () => undefined);
	const options = { folder: join(run, "state"), everyHours: 0, state, isBusy: () => false };
	const scrub = await Scrub.open({ ...options, source: async () => source });
	const given = async () => {
		await gate();
		return source;
	};
	close = await listenOnSocket(createControl({ state, source: given, scrub }), run);
	return { state, source, scrub };
}

test("only its owner and root may open the socket, which is there while the agent is", async () => {
	const run = await tempDir();
	await open(run);
	const socket = await stat(controlPath(run));
	expect([socket.isSocket(), socket.mode & 0o777]).toEqual([true, 0o600]);
	expect((await readdir(run)).sort()).toEqual(["control.sock", "store"]);
	expect(await askAgent(run, "GET", "/v1/status")).toMatchObject({ stage: "ready" });
	await close!();
	close = undefined;
	expect(await readdir(run)).toEqual(["store"]);
	expect(await askAgent(run, "GET", "/v1/status")).toBeUndefined();
});

test("a socket that a dead agent left is replaced, one that answers is not, and a long path is told", async () => {
	const run = await tempDir();
	await writeFile(controlPath(run), "no socket at all");
	await open(run);
	expect((await stat(controlPath(run))).isSocket()).toBe(true);
	const { state, source, scrub } = { state: {} as State, source: () => expect.unreachable(), scrub: {} as Scrub };
	const second = () => listenOnSocket(createControl({ state, source, scrub }), run);
	await expect(second()).rejects.toMatchObject({ code: "E_BUSY" });
	const long = join(run, "x".repeat(100));
	await mkdir(long);
	await expect(listenOnSocket(createControl({ state, source, scrub }), long)).rejects.toMatchObject({
		code: "E_CONFIG",
	});
	expect(await askAgent(run, "GET", "/v1/status")).toMatchObject({ stage: "ready" });
});

test("one piece of work at a time, with what runs; errors reach the client with code and next step", async () => {
	const run = await tempDir();
	let pass: (value?: unknown) => void = () => undefined;
	const gate = new Promise((resolve) => {
		pass = resolve;
	});
	await open(run, () => gate);
	const first = askAgent(run, "POST", "/v1/store/fsck?mode=full");
	await expect
		.poll(() => askAgent(run, "POST", "/v1/store/gc").then(String, (error) => [error.code, error.message]))
		.toEqual(["E_BUSY", "The agent already runs fsck (full)."]);
	expect(await askAgent(run, "POST", "/v1/store/scrub")).toMatchObject({ running: true });
	pass();
	expect(await first).toMatchObject({ mode: "full", ok: true });
	expect(await askAgent(run, "POST", "/v1/store/gc")).toEqual({ blobs: 0, documents: 0, bytes: 0 });
	await expect(askAgent(run, "POST", "/v1/store/fsck?mode=deep")).rejects.toMatchObject({ code: "E_USAGE" });
	await expect(askAgent(run, "GET", "/v1/nothing")).rejects.toMatchObject({ code: "E_IO" });
});

test("a client that goes away ends its check; the next one is served", async () => {
	const run = await tempDir();
	const { source } = await open(run);
	const { store } = source;
	const digest = `sha256:${"ab".repeat(32)}`;
	await mkdir(join(store.path(digest), ".."), { recursive: true });
	await writeFile(store.path(digest), "x");
	const seen = evidenceOf(await stat(store.path(digest), { bigint: true }));
	await store.commit({ release: "1".repeat(64), bundles: [], blobs: { [digest]: seen } });
	let pieces = 0;
	store.check = async (_digest, _size, pace) => {
		for (;;) {
			pieces++;
			await pace?.(1);
			await setTimeout(5);
		}
	};
	const question = request({
		...{ socketPath: controlPath(run), method: "POST", path: "/v1/store/fsck?mode=full" },
		headers: { host: CONTROL_HOST },
	});
	question.on("error", () => undefined);
	question.end();
	await expect.poll(() => pieces).toBeGreaterThan(2);
	question.destroy();
	await expect.poll(() => askAgent(run, "POST", "/v1/store/gc").then(() => "", String)).toBe("");
});

test("what is not asked by our client, or answers as something else, is refused", async () => {
	const run = await tempDir();
	await open(run);
	const status = await new Promise((resolve) => {
		const asked = { socketPath: controlPath(run), path: "/v1/status", headers: { host: "localhost" }, agent: false };
		request(asked, (response) => resolve(response.resume().statusCode)).end();
	});
	expect(status).toBe(421);
	const other = join(await tempDir(), "run");
	await mkdir(other);
	const server = createServer((socket) => socket.resume().end("HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}"));
	await new Promise<void>((resolve) => server.listen(controlPath(other), resolve));
	await expect(askAgent(other, "GET", "/v1/status")).rejects.toMatchObject({ code: "E_IO" });
	await new Promise((resolve) => server.close(resolve));
});
