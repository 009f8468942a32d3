import { createHash } from "node:crypto";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fatImage } from "../tools/fat.ts";
import { run } from "../tools/run.ts";
import { type IsoPlan, isoExtents, writeIso } from "../tools/xorriso.ts";
import { checkContent, checkStructure, type GatedFile } from "./iso-gate.ts";

let dir: string;
let plan: IsoPlan;
let files: GatedFile[];

beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), "slipway-gate-"));
	const a = Buffer.alloc(300_000, "a");
	await writeFile(join(dir, "a"), a);
	await writeFile(join(dir, "b"), "b");
	await writeFile(join(dir, "core.img"), Buffer.alloc(4096, 1));
	await writeFile(join(dir, "mbr.img"), Buffer.alloc(512));
	await fatImage(run, join(dir, "esp.img"), new Map([["/EFI/BOOT/BOOTX64.EFI", join(dir, "b")]]), {
		size: 1 << 20,
		label: "ESP",
		serial: "01234567",
		epoch: 1_700_000_000,
	});
	plan = {
		out: join(dir, "x.iso"),
		volumeId: "SLIPWAY_TEST",
		epoch: 1_700_000_000,
		files: [
			["/content/a.zst", join(dir, "a")],
			["/b", join(dir, "b")],
			["/boot/core.img", join(dir, "core.img")],
		],
		esp: join(dir, "esp.img"),
		bios: { mbr: join(dir, "mbr.img"), eltorito: "/boot/core.img" },
	};
	const entry = (path: string, data: Buffer) => ({
		path,
		size: data.length,
		sha256: createHash("sha256").update(data).digest("hex"),
	});
	files = [entry("content/a.zst", a), entry("b", Buffer.from("b"))];
	await writeIso(run, plan, () => undefined);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test("a whole hybrid ISO passes both gates, and its digest is that of its bytes", async () => {
	await checkStructure(run, plan.out, "SLIPWAY_TEST", true);
	const whole = await checkContent(run, plan.out, files, () => undefined);
	const bytes = await readFile(plan.out);
	expect(whole).toEqual({ sha256: createHash("sha256").update(bytes).digest("hex"), size: bytes.length });
});

test("the same files make the same ISO and the same EFI system partition", async () => {
	const again = join(dir, "again.iso");
	const esp = join(dir, "esp2.img");
	await fatImage(run, esp, new Map([["/EFI/BOOT/BOOTX64.EFI", join(dir, "b")]]), {
		...{ size: 1 << 20, label: "ESP", serial: "01234567", epoch: 1_700_000_000 },
	});
	expect(await readFile(esp)).toEqual(await readFile(plan.esp));
	const dates = (await run("mdir", ["-/", "-i", esp, "::/"])).stdout.match(/ \d{4}-\d\d-\d\d /g);
	expect(new Set(dates)).toEqual(new Set([" 2023-11-14 "]));
	await writeIso(run, { ...plan, out: again, esp }, () => undefined);
	expect((await readFile(again)).equals(await readFile(plan.out))).toBe(true);
});

test("one changed byte in a bundle on the ISO, or a bundle that is not on it, stops the build", async () => {
	const bad = join(dir, "bad.iso");
	await writeFile(bad, await readFile(plan.out));
	const at = (await isoExtents(run, bad)).get("/content/a.zst")![0]!;
	const file = await open(bad, "r+");
	await file.write("x", at.start + at.size - 1);
	await file.close();
	await expect(checkContent(run, bad, files, () => undefined)).rejects.toMatchObject({
		code: "E_ISO_GATE",
		message: expect.stringContaining("content/a.zst"),
	});
	const more = [...files, { path: "content/lost.zst", size: 1, sha256: "00" }];
	await expect(checkContent(run, plan.out, more, () => undefined)).rejects.toMatchObject({ code: "E_ISO_GATE" });
});

test("an ISO that starts by UEFI alone, or has another label, is refused", async () => {
	const uefi = join(dir, "uefi.iso");
	await writeIso(run, { ...plan, out: uefi, bios: null }, () => undefined);
	await checkStructure(run, uefi, "SLIPWAY_TEST", false);
	await expect(checkStructure(run, uefi, "SLIPWAY_TEST", true)).rejects.toMatchObject({
		code: "E_ISO_GATE",
		message: expect.stringMatching(/BIOS boot image.*boot code for sticks/),
	});
	await expect(checkStructure(run, plan.out, "SLIPWAY_OTHER", true)).rejects.toMatchObject({ code: "E_ISO_GATE" });
});
