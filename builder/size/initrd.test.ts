import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { seededBytes } from "../../test/support/bundles.ts";
import { cpio } from "../../test/support/cpio.ts";
import { tempDir } from "../../test/support/temp.ts";
import { initrdParts } from "./initrd.ts";
import type { Part } from "./part.ts";

async function partsOf(data: Buffer): Promise<Part> {
	const file = join(await tempDir(), "initrd");
	// Not at the start of the file, as on an ISO.
	await writeFile(file, Buffer.concat([Buffer.alloc(100), data, Buffer.alloc(50)]));
	const fd = await open(file);
	return initrdParts({ fd, start: 100, size: data.length }, "initrd").finally(() => fd.close());
}

const microcode = cpio({ "kernel/x86/microcode/a.bin": seededBytes("microcode", 5000) });
const main = cpio({
	"usr/lib/modules/6.1/kernel/drivers/net/a.ko": seededBytes("a", 60_000),
	"usr/lib/modules/6.1/kernel/fs/b.ko": seededBytes("b", 20_000),
	"usr/lib/modules/6.1/modules.dep": seededBytes("dep", 1000),
	"usr/bin/systemctl": seededBytes("c", 20_000),
	"lib/firmware/f.bin": seededBytes("f", 10_000),
	init: Buffer.from("#!/bin/sh\n"),
});

test.each([
	["zstd", zstdCompressSync],
	["gzip", gzipSync],
] as const)("microcode and a %s archive are told apart, to the byte", async (_, pack) => {
	const early = Buffer.concat([microcode, Buffer.alloc(512 - (microcode.length % 512))]);
	const data = Buffer.concat([early, pack(main)]);
	const found = await partsOf(data);
	expect(found.bytes).toBe(data.length);
	const bytes = (...names: string[]) =>
		names.reduce<Part | undefined>((part, name) => part?.parts?.find((one) => one.name === name), found)?.bytes ?? 0;
	expect(bytes("Firmware and microcode")).toBeGreaterThan(15_000);
	expect(bytes("Kernel modules", "net (drivers)") / bytes("Kernel modules", "fs")).toBeCloseTo(3, 1);
	expect(bytes("Kernel modules", "indexes")).toBeGreaterThan(900);
	expect(bytes("Programs, libraries, scripts")).toBeGreaterThan(19_000);
	expect(found.parts!.reduce((sum, part) => sum + part.bytes, 0)).toBe(data.length);
});

test("what is in another form, damaged or cut off is one part, and the sum stays", async () => {
	const good = Buffer.concat([microcode, zstdCompressSync(main)]);
	expect(await partsOf(seededBytes("noise", 3000))).toEqual({ name: "initrd", bytes: 3000 });
	expect((await partsOf(microcode)).bytes).toBe(microcode.length);
	for (let i = 0; i < 200; i++) {
		const bad = Buffer.from(good.subarray(0, i % 2 === 0 ? good.length : (i * 7919) % good.length));
		if (bad.length > 0) bad[(i * 104_729) % bad.length]! ^= 1 << (i % 8);
		const found = await partsOf(bad);
		expect(found.bytes).toBe(bad.length);
		if (found.parts !== undefined) expect(found.parts.reduce((sum, part) => sum + part.bytes, 0)).toBe(bad.length);
	}
});
