import { link, mkdir, open, readFile, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { Part } from "../../builder/size/part.ts";
import { rootImageParts } from "../../builder/size/root-image.ts";
import { openSquashfs, type Squashfs } from "../../builder/size/squashfs.ts";
import { storedBytes } from "../../builder/size/stored.ts";
import { mksquashfsArgs } from "../../builder/tools/mksquashfs.ts";
import { run } from "../../builder/tools/run.ts";
import { writeIso } from "../../builder/tools/xorriso.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { seededBytes } from "../support/bundles.ts";
import { tempDir } from "../support/temp.ts";

const SLIPWAY = new URL("../../slipway", import.meta.url).pathname;
let dir: string;
let tree: string;
const files: Record<string, Buffer> = {
	// Does not compress: stored as large as it is.
	"usr/lib/modules/6.1/kernel/drivers/net/a.ko": seededBytes("a", 1_000_003),
	"usr/lib/modules/6.1/kernel/fs/b.ko": seededBytes("b", 300_000),
	"usr/lib/firmware/vendor/fw.bin": seededBytes("fw", 524_288),
	"usr/lib/slipway/node": seededBytes("node", 700_001),
	"usr/lib/slipway/agent.mjs": Buffer.alloc(400_000, "agent "),
	"usr/bin/tool": Buffer.alloc(3_000_000, "compresses well "),
	"usr/bin/small": Buffer.from("small\n"),
	"usr/share/zeros": Buffer.alloc(2_000_000),
	"usr/share/empty": Buffer.alloc(0),
	"etc/motd": Buffer.from("hello\n"),
	"var/lib/dpkg/info/tool.list": Buffer.from("/.\n/bin\n/bin/tool\n/usr/bin/small\n/usr/share/zeros\n"),
	"var/lib/dpkg/info/kernel:amd64.list": Buffer.from(
		"/.\n/lib/modules/6.1/kernel/drivers/net/a.ko\n/lib/modules/6.1/kernel/fs/b.ko\n",
	),
	"var/lib/dpkg/info/firmware-vendor.list": Buffer.from("/.\n/lib/firmware/vendor/fw.bin\n"),
};

beforeAll(async () => {
	dir = await tempDir();
	tree = join(dir, "tree");
	for (const [path, bytes] of Object.entries(files)) {
		await mkdir(dirname(join(tree, path)), { recursive: true });
		await writeFile(join(tree, path), bytes);
	}
	// Enough entries that directories and inodes take several blocks of their tables.
	await mkdir(join(tree, "usr/share/many"));
	for (let i = 0; i < 1200; i++) await writeFile(join(tree, `usr/share/many/${"name".repeat(8)}-${i}`), `${i}\n`);
	await link(join(tree, "usr/lib/slipway/node"), join(tree, "usr/share/node-again"));
	await writeFile(join(tree, "usr/share/same-as-b"), files["usr/lib/modules/6.1/kernel/fs/b.ko"]!);
	await truncate(join(tree, "usr/share/zeros"), 3_000_000);
	await symlink("usr/lib", join(tree, "lib"));
	await symlink("usr/bin", join(tree, "bin"));
});

async function pack(name: string, ...more: string[]): Promise<string> {
	const image = join(dir, name);
	await run("mksquashfs", [...mksquashfsArgs(tree, image, 1_700_000_000), ...more]);
	return image;
}

async function opened<T>(
	file: string,
	work: (at: { fd: Awaited<ReturnType<typeof open>>; start: number; size: number }) => Promise<T>,
) {
	const fd = await open(file);
	return work({ fd, start: 0, size: (await stat(file)).size }).finally(() => fd.close());
}

test.each([["zstd"], ["gzip"]])(
	"a squashfs with %s is read as unsquashfs reads it, and its stored bytes are counted once",
	async (compression) => {
		const image = compression === "zstd" ? await pack("zstd.squashfs") : join(dir, "gzip.squashfs");
		if (compression === "gzip") await run("mksquashfs", [tree, image, "-quiet", "-no-progress", "-comp", "gzip"]);
		const listed = (await run("unsquashfs", ["-lls", "-d", "", image])).stdout.split("\n");
		const wanted = listed.filter((line) => line.startsWith("-")).map((line) => line.replace(/^.* \d\d:\d\d \//, ""));
		await opened(image, async (at) => {
			const squashfs: Squashfs = await openSquashfs(at);
			expect(squashfs.files.map(({ path }) => path).sort()).toEqual(wanted.sort());
			expect([...squashfs.topLinks]).toEqual([
				["bin", "usr/bin"],
				["lib", "usr/lib"],
			]);
			for (const file of squashfs.files.filter(({ path }) => !path.includes("/many/"))) {
				expect((await squashfs.read(file)).equals(await readFile(join(tree, file.path))), file.path).toBe(true);
			}
			const stored = storedBytes(squashfs);
			const total = [...stored.values()].reduce((sum, bytes) => sum + bytes, 0);
			// What is left are the tables: some 3,000 names and inodes.
			expect(squashfs.bytesUsed - total).toBeGreaterThan(5_000);
			expect(squashfs.bytesUsed - total).toBeLessThan(120_000);
			expect(stored.get("usr/lib/modules/6.1/kernel/drivers/net/a.ko")).toBeGreaterThan(990_000);
			expect(stored.get("usr/bin/tool")).toBeLessThan(30_000);
			// A hard link: either name has the bytes, not both.
			expect(stored.get("usr/share/node-again")).toBe(0);
			expect(stored.get("usr/share/same-as-b")! + stored.get("usr/lib/modules/6.1/kernel/fs/b.ko")!).toBeLessThan(
				301_000,
			);
		});
	},
);

test("a damaged root image is a coded error or another answer, never a hang, and another compression is told", async () => {
	const bytes = await readFile(await pack("good.squashfs"));
	const file = join(dir, "bad.squashfs");
	let errors = 0;
	for (let i = 0; i < 120; i++) {
		const bad = Buffer.from(bytes);
		// Half of them in the superblock, the others in the tables at the end.
		const at = i < 60 ? i % 96 : bad.length - 1 - ((i * 7919) % 100_000);
		bad[at]! ^= 1 << (i % 8);
		await writeFile(file, i % 10 === 0 ? bad.subarray(0, at) : bad);
		await opened(file, rootImageParts).catch((error: unknown) => {
			expect(error).toBeInstanceOf(SlipwayError);
			expect((error as SlipwayError).code).toMatch(/^(E_ISO|E_FORMAT|E_TRUNCATED)$/);
			errors++;
		});
	}
	expect(errors).toBeGreaterThan(40);
	await run("mksquashfs", [tree, join(dir, "xz.squashfs"), "-quiet", "-no-progress", "-comp", "xz"]);
	await expect(opened(join(dir, "xz.squashfs"), rootImageParts)).rejects.toMatchObject({ code: "E_FORMAT" });
});

test("every byte of an ISO is accounted for, at every level, from the ISO alone", async () => {
	const root = await pack("root.squashfs");
	const { size } = await stat(root);
	// A hash tree of dm-verity behind the file system, as far as a reader of sizes sees it.
	await writeFile(root, Buffer.concat([await readFile(root), Buffer.from("verity\0\0"), Buffer.alloc(8184, 1)]));
	const at = async (name: string, bytes: number) => {
		await writeFile(join(dir, name), seededBytes(name, bytes));
		return join(dir, name);
	};
	const kernel = await at("kernel", 500_001);
	const plan = {
		out: join(dir, "x.iso"),
		volumeId: "TEST",
		epoch: 1_700_000_000,
		esp: await at("esp", 1 << 20),
		bios: null,
	};
	const on: [string, string][] = [
		["/live/rootfs.squashfs", root],
		["/boot/vmlinuz", kernel],
		["/vmlinuz0", kernel],
		["/boot/initrd", await at("initrd", 300_000)],
		["/content/core-1.0.0-amd64.zst", await at("bundle", 200_000)],
		["/.disk/info", await at("info", 50)],
	];
	await writeIso(run, { ...plan, files: on }, () => undefined);
	const svg = join(dir, "x.size.svg");
	const { stdout } = await run(SLIPWAY, ["size", plan.out, "--json"]);
	const result = JSON.parse(stdout) as { size: number; svg: string; parts: Part[] };
	expect(result).toMatchObject({ size: (await stat(plan.out)).size, svg });
	const check = (part: Part) => {
		if (part.parts === undefined) return;
		for (const inner of part.parts) check(inner);
		expect([part.name, part.parts.reduce((sum, { bytes }) => sum + bytes, 0)]).toEqual([part.name, part.bytes]);
	};
	check({ name: "ISO", bytes: result.size, parts: result.parts });
	const part = (...names: string[]) =>
		names.reduce<{ bytes?: number; parts?: readonly Part[] } | undefined>(
			(found, name) => found?.parts?.find((one) => one.name === name),
			result,
		)?.bytes;
	expect(part("Root image")).toBe(size + 8192);
	expect(part("Root image", "dm-verity hash tree")).toBe(8192);
	expect(part("Root image", "Firmware")).toBeGreaterThan(520_000);
	expect(part("Root image", "Packages", "kernel", "net (drivers)")).toBeGreaterThan(990_000);
	expect(part("Root image", "Packages", "tool")).toBeLessThan(40_000);
	expect(part("Root image", "Node.js")).toBeGreaterThan(690_000);
	expect(part("Kernel")).toBe(500_001);
	expect(part("Initrd")).toBe(300_000);
	expect(part("Content")).toBe(200_000);
	expect(part("Boot images")).toBe(1 << 20);
	expect(await readFile(svg, "utf8")).toContain("Root image › Packages › kernel › net (drivers): ");
	const text = await run(SLIPWAY, ["size", plan.out]);
	expect(text.stdout).toMatch(/^Root image +\d[\s\S]*^Total +\d.* 100\.0 %$[\s\S]*^Tree map: /m);
});

test("what is no ISO, or a profile that was not built, is told", async () => {
	const accept = [2];
	await writeFile(join(dir, "text.iso"), "no ISO\n".repeat(10_000));
	expect((await run(SLIPWAY, ["size", join(dir, "text.iso")], { accept })).stderr).toMatch(/^E_ISO: /);
	expect((await run(SLIPWAY, ["size", "no-such-profile"], { accept })).stderr).toMatch(
		/^E_USAGE: There is no ISO of no-such-profile/,
	);
	expect((await run(SLIPWAY, ["size", "none.iso"], { accept })).stderr).toMatch(/^E_ISO: There is no file none\.iso/);
});
