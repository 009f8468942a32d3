import { copyFile, open, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SlipwayError } from "../../bundle/errors.ts";
import { signatureName } from "../../bundle/signature-file.ts";
import { verifyBundle } from "../../bundle/verify.ts";
import { makeTestBundle, type TestBundle } from "../support/bundles.ts";
import { tempDir } from "../support/temp.ts";
import { largeBundle } from "./large.ts";
import { SEED } from "./settings.ts";

/** Damage in every place: all of it is refused, and the error says where it is. Flips in small frames: bundle/verify.test.ts. */

/** The region that a byte of the bundle is in, in the words of an error, with the stretch that the error must give. */
function regionAt({ index, size }: Layout, at: number): RegExp {
	const indexEnd = size - (17 + 8 * (index.frames.length + 1));
	if (at >= indexEnd) return /seek table/;
	if (at >= index.dataLength) return /index \(bytes \d+ to \d+\)/;
	let [frame, offset] = [0, 0];
	while (offset + index.frames[frame]![0] <= at) offset += index.frames[frame++]![0];
	return new RegExp(`frame ${frame} \\(bytes ${offset} to ${offset + index.frames[frame]![0] - 1}\\)`, "i");
}

interface Layout extends Pick<TestBundle, "index"> {
	readonly size: number;
}

/** The refusal of this bundle: a coded error that names the region. */
async function refusal(path: string, good: TestBundle, region: RegExp, what: string): Promise<SlipwayError> {
	const error = await verifyBundle(path, good.trust).then(
		() => expect.fail(`${what} was accepted`),
		(e: unknown) => e,
	);
	if (!(error instanceof SlipwayError)) throw error;
	expect([3, 6], `${what}: ${error.code}`).toContain(error.exitCode);
	expect(error.message, `${what}: ${error.code}`).toMatch(region);
	return error;
}

describe("a small bundle", () => {
	let good: TestBundle;
	let bytes: Buffer;
	let layout: Layout;
	let path: string;
	beforeAll(async () => {
		const dir = await tempDir();
		good = await makeTestBundle(dir, { seed: "regions", layers: [40] });
		bytes = await readFile(good.path);
		layout = { index: good.index, size: bytes.length };
		path = join(dir, "bad.zst");
		await copyFile(good.path, path);
		await copyFile(good.sigPath, signatureName(path));
	});

	test("every bit of its index and seek table", async () => {
		const fd = await open(path, "r+");
		try {
			for (let at = good.index.dataLength; at < bytes.length; at++) {
				for (let bit = 0; bit < 8; bit++) {
					await fd.write(Buffer.from([bytes[at]! ^ (1 << bit)]), 0, 1, at);
					await refusal(path, good, regionAt(layout, at), `bit ${bit} of byte ${at}`);
				}
				await fd.write(bytes, at, 1, at);
			}
		} finally {
			await fd.close();
		}
		await verifyBundle(path, good.trust); // as it was again
	});

	test("every bit of its signature file", async () => {
		const signature = await readFile(good.sigPath);
		for (let at = 0; at < signature.length; at++) {
			for (let bit = 0; bit < 8; bit++) {
				const bad = Buffer.from(signature);
				bad[at]! ^= 1 << bit;
				await writeFile(signatureName(path), bad);
				const error = await refusal(path, good, /signature file/, `bit ${bit} of byte ${at}`);
				expect(error.code).toBe("E_SIG_INVALID");
			}
		}
		await writeFile(signatureName(path), signature);
	});

	test("cut off after every byte", async () => {
		for (let size = bytes.length - 1; size >= 0; size--) {
			await truncate(path, size);
			const error = await refusal(path, good, new RegExp(`ends at byte ${size}\\b.* seek table`), `${size} bytes`);
			expect(error.code).toBe("E_TRUNCATED");
		}
		await writeFile(path, bytes);
	});

	test("every single byte behind it", async () => {
		for (let byte = 0; byte < 256; byte++) {
			await writeFile(path, Buffer.concat([bytes, Buffer.from([byte])]));
			const region = new RegExp(`trailing bytes \\(from byte ${bytes.length}\\)`);
			expect((await refusal(path, good, region, `byte ${byte} behind`)).code).toBe("E_TRAILING");
		}
		await writeFile(path, bytes);
	});
});

describe(`a bundle of 1 GiB, FUZZ_SEED=${SEED}`, () => {
	const MIB = 2 ** 20;
	const check = (runs: number) => ({ numRuns: runs, seed: SEED, endOnFailure: true });
	let good: TestBundle;
	let layout: Layout;
	beforeAll(async () => {
		good = await largeBundle(await tempDir(), 1024 * MIB, SEED);
		const fd = await open(good.path);
		layout = { index: good.index, size: (await fd.stat()).size };
		await fd.close();
	}, 20 * 60_000);
	afterAll(() => rm(good.path));

	/** Damages it, sees it refused, and mends it. */
	async function flipped(at: number, bit: number): Promise<void> {
		const fd = await open(good.path, "r+");
		try {
			const byte = Buffer.alloc(1);
			await fd.read(byte, 0, 1, at);
			await fd.write(Buffer.from([byte[0]! ^ (1 << bit)]), 0, 1, at);
			try {
				await refusal(good.path, good, regionAt(layout, at), `bit ${bit} of byte ${at}`);
			} finally {
				await fd.write(byte, 0, 1, at);
			}
		} finally {
			await fd.close();
		}
	}
	const bit = fc.nat(7);
	const flips = (from: number, to: number, runs: number) =>
		fc.assert(fc.asyncProperty(fc.integer({ min: from, max: to - 1 }), bit, flipped), check(runs));

	test("whole, it passes", async () => {
		await verifyBundle(good.path, good.trust);
	});

	// A flip is seen when its frame is reached, so most are near the start, and some anywhere.
	test("40 flips in the first 128 MiB, 10 anywhere in its frames", async () => {
		await flips(0, 128 * MIB, 40);
		await flips(0, good.index.dataLength, 10);
	});

	test("60 flips in its index and seek table", () => flips(good.index.dataLength, layout.size, 60));

	// Each is also a cut of the whole, so none needs to be mended; and this comes last.
	test("100 cuts", async () => {
		const sizes = fc.sample(fc.integer({ min: 0, max: layout.size - 1 }), { numRuns: 100, seed: SEED });
		for (const size of sizes.sort((a, b) => b - a)) {
			await truncate(good.path, size);
			const region = new RegExp(`ends at byte ${size}\\b.* seek table`);
			const error = await refusal(good.path, good, region, `cut off after ${size} bytes`);
			expect(error.code).toBe("E_TRUNCATED");
		}
	});
});
