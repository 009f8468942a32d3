import { createHash } from "node:crypto";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { seededBytes } from "../../test/support/bundles.ts";
import { tempDir } from "../../test/support/temp.ts";
import { compareAll, PIECE, type Target, type Transfer, writeAll } from "./transfer.ts";

/** Two pieces and a bit, as no multiple of anything large. */
const SIZE = 2 * PIECE + 3 * 2048;
const bytes = seededBytes("iso", SIZE);

/** A disk in memory that does what it is told, with a record of what was written in which order. */
function fakeDisk(size = SIZE) {
	const medium = Buffer.alloc(size, 0xff);
	const calls: string[] = [];
	const target: Target = {
		write: async (piece, at) => {
			calls.push(`${piece.every((byte) => byte === 0) ? "clear" : "write"} ${at}`);
			piece.copy(medium, at);
		},
		read: async (piece, at) => void medium.copy(piece, 0, at),
		flush: async () => void calls.push("flush"),
	};
	return { medium, calls, target };
}

async function transfer(target: Target, more: Partial<Transfer> = {}): Promise<Transfer> {
	const file = join(await tempDir(), "iso");
	await writeFile(file, bytes);
	const source = { fd: await open(file), size: SIZE, sha256: createHash("sha256").update(bytes).digest("hex") };
	const signal = new AbortController().signal;
	return { source, target, memory: Buffer.alloc(PIECE), signal, onProgress: () => undefined, ...more };
}

test("writes every byte, the first piece last and after a flush, and reads back the same", async () => {
	const { medium, calls, target } = fakeDisk(SIZE + 4096);
	const steps: number[] = [];
	const o = await transfer(target, { onProgress: (done) => steps.push(done) });
	const pieces = await writeAll(o);
	expect(medium.subarray(0, SIZE).equals(bytes)).toBe(true);
	expect(medium.subarray(SIZE).every((byte) => byte === 0xff)).toBe(true);
	expect(calls).toEqual(["clear 0", "flush", `write ${PIECE}`, `write ${2 * PIECE}`, "flush", "write 0", "flush"]);
	expect(steps).toEqual([...steps].sort((a, b) => a - b));
	expect(steps.at(-1)).toBe(SIZE);
	await compareAll(o, pieces);
	await o.source.fd.close();
});

test.each([0, PIECE + 77, SIZE - 1])(
	"a byte at %i that is another one when read back is named, and the disk made unbootable",
	async (at) => {
		const { medium, target } = fakeDisk();
		const o = await transfer(target);
		const pieces = await writeAll(o);
		medium[at]! ^= 0x10;
		const message = expect.stringContaining(`at byte ${at} `);
		await expect(compareAll(o, pieces)).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH", message });
		expect(medium.subarray(0, PIECE).every((byte) => byte === 0)).toBe(true);
		await o.source.fd.close();
	},
);

test("a stick with less room than it says is noticed: what comes later overwrites what came first", async () => {
	const medium = Buffer.alloc(2 * PIECE);
	const target: Target = {
		write: async (piece, at) => void piece.copy(medium, at % medium.length),
		read: async (piece, at) => void medium.copy(piece, 0, at % medium.length),
		flush: async () => undefined,
	};
	const o = await transfer(target);
	const pieces = await writeAll(o);
	await expect(compareAll(o, pieces)).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	await o.source.fd.close();
});

test("stopped half way, or with a source that changed, the disk's first piece stays cleared", async () => {
	const abort = new AbortController();
	const stopped = fakeDisk();
	const o = await transfer(stopped.target, { signal: abort.signal, onProgress: () => abort.abort() });
	await expect(writeAll(o)).rejects.toMatchObject({ code: "E_INTERRUPTED" });
	expect(stopped.calls.at(-1)).toBe(`write ${PIECE}`);
	expect(stopped.medium.subarray(0, PIECE).every((byte) => byte === 0)).toBe(true);
	const early = fakeDisk();
	await expect(writeAll({ ...o, target: early.target })).rejects.toMatchObject({ code: "E_INTERRUPTED" });
	expect(early.calls).toEqual([]);
	const changed = fakeDisk();
	const p = await transfer(changed.target);
	await expect(writeAll({ ...p, source: { ...p.source, sha256: "0".repeat(64) } })).rejects.toMatchObject({
		code: "E_SOURCE_CHANGED",
	});
	expect(changed.medium.subarray(0, PIECE).every((byte) => byte === 0)).toBe(true);
	await o.source.fd.close();
	await p.source.fd.close();
});
