import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { folderWith } from "../../test/support/packs.ts";
import { run } from "../tools/run.ts";
import { BlobFolder } from "./blob-folder.ts";
import { FileTree } from "./file-tree.ts";
import { writeLayer } from "./layer.ts";

const owned = { uid: 0, gid: 0 };
const file = (text: string) => ({ type: "file", mode: 0o644, ...owned, content: Buffer.from(text) }) as const;
const folder = (mode: number) => ({ type: "directory", mode, ...owned }) as const;

test("same files, same bytes, whatever the order and the clock; tar lists what was put in", async () => {
	const long = `usr/share/${"deep/".repeat(30)}${"x".repeat(120)}`;
	const entries: [string, Parameters<FileTree["set"]>[1]][] = [
		["lib/x86_64-linux-gnu/libc.so.6", file("library")],
		["tmp", folder(0o1777)],
		["etc/link", { type: "symlink", mode: 0o777, ...owned, target: "/usr/etc" }],
		["home/user", { type: "directory", mode: 0o750, uid: 65532, gid: 65532 }],
		[long, file("long name")],
	];
	const write = async (order: typeof entries) => {
		const tree = new FileTree();
		for (const [name, entry] of order) tree.set(name, entry);
		const blobs = new BlobFolder(await folderWith());
		return { blobs, layer: await writeLayer(blobs, tree.entries(), 1_700_000_000) };
	};
	const a = await write(entries);
	await new Promise((resolve) => setTimeout(resolve, 1100));
	const b = await write([...entries].reverse());
	expect(a.layer).toEqual(b.layer);
	expect(a.layer.digest).not.toBe(a.layer.diffId);

	const scratch = await folderWith();
	const tar = join(scratch, "layer.tar");
	const bytes = await a.blobs.read(a.layer.digest);
	expect(bytes.subarray(4, 8)).toEqual(Buffer.alloc(4)); // no time in the gzip header
	await writeFile(tar, gunzipSync(bytes));
	const { stdout } = await run("tar", ["--numeric-owner", "--full-time", "-tvf", tar]);
	const lines = stdout.split("\n");
	expect(lines.every((line) => line.includes("2023-11-14 22:13:20"))).toBe(true);
	const names = lines.map((line) => line.replace(/^.*22:13:20 /, ""));
	expect(names).toContain(long);
	expect(names).toContain("lib -> usr/lib");
	expect(names).toContain("usr/lib/x86_64-linux-gnu/libc.so.6");
	expect(lines.find((line) => line.endsWith(" tmp/"))).toMatch(/^drwxrwxrwt 0\/0/);
	expect(lines.find((line) => line.endsWith(" home/user/"))).toMatch(/^drwxr-x--- 65532\/65532/);
});

test.each(["../etc/passwd", "a/../../b", "a/./b", "a//b", "a\nb", "a\\b"])(
	"a path such as %j comes into no tree",
	(name) => {
		expect(() => new FileTree().set(name, file("x"))).toThrow(expect.objectContaining({ code: "E_PACK" }));
	},
);

test("a file below a link lands where the link points, and links are followed inside the tree only", () => {
	const tree = new FileTree();
	tree.set("run", folder(0o755));
	tree.set("var/run", { type: "symlink", mode: 0o777, ...owned, target: "/run" });
	tree.set("var/run/app/pid", file("1"));
	expect(tree.entries().map(([name]) => name)).toEqual(["run", "run/app", "run/app/pid", "var", "var/run"]);
	tree.set("up", { type: "symlink", mode: 0o777, ...owned, target: "../../../run/app/pid" });
	expect(tree.resolve("/up")?.path).toBe("run/app/pid");
	tree.set("loop", { type: "symlink", mode: 0o777, ...owned, target: "loop" });
	expect(tree.resolve("loop")).toBeUndefined();
});

test("remove takes a folder with what is in it; * stands for one name", () => {
	const tree = new FileTree();
	for (const name of ["usr/lib/a/gconv/x", "usr/lib/b/gconv/y", "usr/lib/b/c/gconv/z", "usr/lib/b/gconvert"])
		tree.set(name, file("x"));
	expect(tree.remove("/usr/lib/*/gconv")).toBe(true);
	expect(tree.remove("/usr/lib/*/gconv")).toBe(false);
	expect(
		tree
			.entries()
			.filter(([, e]) => e.type === "file")
			.map(([name]) => name),
	).toEqual(["usr/lib/b/c/gconv/z", "usr/lib/b/gconvert"]);
});

test("a blob of another digest or size leaves nothing behind", async () => {
	const dir = await folderWith();
	const blobs = new BlobFolder(dir);
	const good = await blobs.put(Buffer.from("good"));
	const other = { ...good, digest: good.digest.replace(/.$/, (c) => (c === "0" ? "1" : "0")) };
	await expect(blobs.putStream([Buffer.from("good")], other)).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	await expect(blobs.putStream([Buffer.from("good!")], other)).rejects.toMatchObject({ code: "E_SIZE_EXCEEDED" });
	await expect(blobs.putStream([Buffer.from("goo")], other)).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	expect(() => blobs.path("sha256:../../etc/passwd")).toThrow(expect.objectContaining({ code: "E_DIGEST_FORMAT" }));
	const { stdout } = await run("find", [dir, "-type", "f"]);
	expect(stdout).toBe(blobs.path(good.digest));
});
