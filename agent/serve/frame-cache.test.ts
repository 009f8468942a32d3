import { expect, test } from "vitest";
import { FrameCache } from "./frame-cache.ts";

const MIB = 2 ** 20;

test("at most four frames are made at once, and one that many ask for is made once", async () => {
	const cache = new FrameCache();
	let now = 0;
	let most = 0;
	let made = 0;
	const make = async () => {
		most = Math.max(most, ++now);
		made++;
		await new Promise((resolve) => setTimeout(resolve, 1));
		now--;
		return Buffer.alloc(10);
	};
	await Promise.all(Array.from({ length: 200 }, (_, i) => cache.get(`frame ${i % 20}`, make)));
	expect([most, made]).toEqual([4, 20]);
});

test("the frames used last are kept, 32 MiB of them", async () => {
	const cache = new FrameCache();
	const made: number[] = [];
	const get = (i: number) =>
		cache.get(String(i), async () => {
			made.push(i);
			return Buffer.alloc(MIB);
		});
	for (let i = 0; i < 32; i++) await get(i);
	await get(0); // now the youngest
	await get(32);
	await get(0);
	await get(1);
	expect(made.slice(32)).toEqual([32, 1]);
});

test("a frame that could not be made is told to all who wait, and made anew for the next", async () => {
	const cache = new FrameCache();
	const failing = () => Promise.reject(new Error("bad"));
	const both = await Promise.allSettled([cache.get("a", failing), cache.get("a", failing)]);
	expect(both.map((r) => r.status)).toEqual(["rejected", "rejected"]);
	expect(await cache.get("a", async () => Buffer.from("x"))).toEqual(Buffer.from("x"));
	for (let i = 0; i < 10; i++) await expect(cache.get(`b${i}`, failing)).rejects.toThrow(); // no place is lost
	expect(await cache.get("c", async () => Buffer.from("y"))).toEqual(Buffer.from("y"));
});
