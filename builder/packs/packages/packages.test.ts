import { readFile, stat } from "node:fs/promises";
import { expect, test } from "vitest";
import { FileTree } from "../../oci/file-tree.ts";
import type { Base } from "../../profile/schema.ts";
import { hostArch } from "../../tools/host-arch.ts";
import type { Deb } from "./archive.ts";
import { closure } from "./closure.ts";
import { parseElf } from "./elf.ts";
import { checkImage, missingLibraries } from "./gates.ts";
import { sbom } from "./sbom.ts";

function deb(name: string, fields: Record<string, string> = {}): Deb {
	const all = {
		Package: name,
		Version: "1:2.0-1",
		Architecture: "amd64",
		Maintainer: "Some Team <team@example.com>",
		...fields,
	};
	return { name, version: "1:2.0-1", arch: "amd64", sha256: "ab".repeat(32), fields: all };
}

const DEBS = [
	deb("base-files", { Essential: "yes", "Pre-Depends": "awk" }),
	deb("mawk", { Provides: "awk", Priority: "required" }),
	deb("server", {
		Depends: "libc6 (>= 2.34), libssl3t64 (>= 3.0) | libssl3, common:any (= 1), extra-tool",
		"Pre-Depends": "init-system-helpers (>= 1)",
	}),
	deb("common", { Depends: "debconf (>= 0.5) | debconf-2.0, perl-base" }),
	deb("debconf", { Priority: "required" }),
	deb("perl-base", { Essential: "yes", Depends: "libcrypt1" }),
	deb("init-system-helpers", { Essential: "yes" }),
	deb("extra-tool", { Depends: "libtool" }),
	deb("libtool"),
	deb("libcrypt1"),
	deb("libc6", { Priority: "required", Section: "libs", Depends: "libgcc-s1" }),
	deb("libgcc-s1", { Section: "libs" }),
	deb("libssl3-fork", { Provides: "libssl3 (= 3.0), libother", Depends: "libc6" }),
];
const names = (request: Partial<Parameters<typeof closure>[1]>) =>
	closure(DEBS, { packages: ["base-files", "server"], keep: [], drop: [], ...request }).map(({ name }) => name);

test("an image holds what its packages depend on, without what only a system or an installation needs", () => {
	expect(names({})).toEqual([
		"base-files",
		"common",
		"extra-tool",
		"libc6",
		"libgcc-s1",
		"libssl3-fork",
		"libtool",
		"server",
	]);
	expect(names({ drop: ["extra-tool"] })).not.toContain("libtool");
	expect(names({ keep: ["perl-base"] })).toEqual(expect.arrayContaining(["perl-base", "libcrypt1"]));
});

test("dropping what is not there, or is asked for, is a mistake that is told", () => {
	expect(() => names({ drop: ["libc7"] })).toThrow(/nothing here depends on it/);
	expect(() => names({ drop: ["server"] })).toThrow(/both asked for and dropped/);
});

test("the SBOM lists every package by package URL and digest, and is the same each time", () => {
	const request = {
		image: "slipway.local/test/web:1",
		name: "web",
		version: "1",
		debs: closure(DEBS, { packages: ["server"], keep: [], drop: [] }),
		base: { name: "debian-13", distribution: "debian" } as Base,
		epoch: 1_700_000_000,
	};
	const bytes = sbom(request);
	expect(sbom({ ...request, debs: [...request.debs].reverse() })).toEqual(bytes);
	const bom = JSON.parse(bytes.toString());
	expect(bom).toMatchObject({
		bomFormat: "CycloneDX",
		specVersion: "1.6",
		metadata: { timestamp: "2023-11-14T22:13:20.000Z" },
	});
	expect(bom.serialNumber).toMatch(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
	expect(bom.components.map((c: { name: string }) => c.name)).toEqual(request.debs.map(({ name }) => name));
	const server = bom.components.find((c: { name: string }) => c.name === "server");
	expect(server).toMatchObject({
		purl: "pkg:deb/debian/server@1:2.0-1?arch=amd64&distro=debian-13",
		hashes: [{ alg: "SHA-256", content: "ab".repeat(32) }],
		supplier: { name: "Some Team" },
	});
	const edges = bom.dependencies.find((d: { ref: string }) => d.ref === server.purl).dependsOn;
	expect(edges).toContain("pkg:deb/debian/libc6@1:2.0-1?arch=amd64&distro=debian-13");
});

const arch = hostArch();

async function treeWithNode(): Promise<FileTree> {
	const tree = new FileTree();
	const content = { file: process.execPath, size: (await stat(process.execPath)).size };
	tree.set("usr/bin/node", { type: "file", mode: 0o755, uid: 0, gid: 0, content });
	return tree;
}

test("reads what a program needs, and says which of it is missing", async () => {
	const elf = parseElf(await readFile(process.execPath));
	expect(elf?.needed).toContain("libc.so.6");
	expect(elf?.interpreter).toMatch(/ld-linux/);
	const tree = await treeWithNode();
	const faults = await missingLibraries(tree, arch);
	expect(faults).toContain("/usr/bin/node needs libc.so.6");
	expect(faults).toContain(`/usr/bin/node needs ${elf!.interpreter}`);
	expect(await missingLibraries(tree, arch === "amd64" ? "arm64" : "amd64")).toContain(
		"/usr/bin/node is for another machine",
	);
	tree.set("usr/lib/libc.so.6", { type: "symlink", mode: 0o777, uid: 0, gid: 0, target: "../bin/node" });
	expect(await missingLibraries(tree, arch)).not.toContain("/usr/bin/node needs libc.so.6");
});

test("files that are no whole ELF are let be", async () => {
	const bytes = await readFile(process.execPath);
	for (const size of [0, 4, 63, 64, 100, 1000]) expect(() => parseElf(bytes.subarray(0, size))).not.toThrow();
	expect(parseElf(Buffer.from("#!/bin/sh\n".repeat(20)))).toBeUndefined();
});

test("an image with a shell or a package manager, or without its program, is refused", async () => {
	const tree = new FileTree();
	const script = { type: "file", mode: 0o755, uid: 0, gid: 0, content: Buffer.from("#!/usr/bin/perl\n") } as const;
	tree.set("usr/bin/dash", script);
	tree.set("bin/sh", { type: "symlink", mode: 0o777, uid: 0, gid: 0, target: "dash" });
	tree.set("usr/bin/dpkg", script);
	const faults = (program: string, shell: boolean) =>
		checkImage("web", tree, arch, program, shell).then(
			() => "",
			(error: Error) => error.message,
		);
	expect(await faults("/usr/bin/missing", false)).toMatch(
		/no program \/usr\/bin\/missing.*\/usr\/bin\/dpkg is in it.*\/usr\/bin\/sh is in it/,
	);
	expect(await faults("/usr/bin/dash", true)).toMatch(/needs \/usr\/bin\/perl; \/usr\/bin\/dpkg is in it\.$/);
	expect(await faults("dash", true)).toMatch(/not an absolute path/);
});
