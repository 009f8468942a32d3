import { expect, test } from "vitest";
import { FrameCache } from "./frame-cache.ts";

const MIB = 2 ** 20;

test("at most four frames are made at once, and one that many ask for is made once", async () => {
	const cache = new FrameCache();
	let now = 0;
	let most = 0;
	let made = 0;
	const make = async (room: Buffer) => {
		most = Math.max(most, ++now);
		made++;
		await new Promise((resolve) => setTimeout(resolve, 1));
		now--;
		return [room.subarray(0, 10)];
	};
	await Promise.all(Array.from({ length: 200 }, (_, i) => cache.get(`frame ${i % 20}`, 10, make)));
	expect([most, made]).toEqual([4, 20]);
});

test("the frames used last are kept, 32 MiB of them", async () => {
	const cache = new FrameCache();
	const made: number[] = [];
	const get = (i: number) =>
		cache.get(String(i), MIB, async (room) => {
			made.push(i);
			return [room.subarray(0, MIB)];
		});
	for (let i = 0; i < 32; i++) (await get(i)).release();
	(await get(0)).release(); // now the youngest
	(await get(32)).release();
	await get(0);
	await get(1);
	expect(made.slice(32)).toEqual([32, 1]);
});

test("a frame that could not be made is told to all who wait, and made anew for the next", async () => {
	const cache = new FrameCache();
	const failing = () => Promise.reject(new Error("bad"));
	const both = await Promise.allSettled([cache.get("a", 9, failing), cache.get("a", 9, failing)]);
	expect(both.map((r) => r.status)).toEqual(["rejected", "rejected"]);
	const good = async () => [Buffer.from("x")];
	expect((await cache.get("a", 9, good)).parts).toEqual([Buffer.from("x")]);
	for (let i = 0; i < 10; i++) await expect(cache.get(`b${i}`, 9, failing)).rejects.toThrow(); // no place is lost
	expect((await cache.get("c", 9, good)).parts).toEqual([Buffer.from("x")]);
});

test("frames that leave most of their buffer empty count for all of it", async () => {
	const cache = new FrameCache();
	const buffers = new Map<ArrayBufferLike, number>();
	for (let i = 0; i < 400; i++) {
		const size = i % 2 === 0 ? 100_000 : 1000;
		const frame = await cache.get(String(i), size, async (room) => {
			buffers.set(room.buffer, room.buffer.byteLength);
			return [room.subarray(0, size)];
		});
		frame.release();
	}
	expect([...buffers.values()].reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(35 * MIB);
});

test("a buffer is used again when its frame is kept no more and nobody has it in hand, and not before", async () => {
	const cache = new FrameCache();
	const buffers = new Set<ArrayBufferLike>();
	const get = (name: string) =>
		cache.get(name, MIB, async (room) => {
			buffers.add(room.buffer);
			return [room.fill(name).subarray(0, MIB)];
		});
	const held = await get("held");
	const copy = Buffer.from(held.parts[0]!);
	for (let i = 0; i < 200; i++) (await get(`frame ${i}`)).release();
	expect(held.parts[0]!.equals(copy)).toBe(true);
	expect(buffers.size).toBeLessThanOrEqual(34); // 32 that are kept, the one in hand, and the one being made
	held.release();
	held.release(); // once too often does no harm
	for (let i = 0; i < 200; i++) (await get(`other ${i}`)).release();
	expect(buffers.size).toBeLessThanOrEqual(34);
});
