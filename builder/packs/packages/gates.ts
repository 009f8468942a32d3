import { readFile } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../../bundle/errors.ts";
import type { Content, FileTree } from "../../oci/file-tree.ts";
import { type Elf, parseElf } from "./elf.ts";

const MULTIARCH = { amd64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" } as const;
const MACHINE = { amd64: 62, arm64: 183 } as const;
const SYSTEM_PROGRAMS = ["apt", "apt-get", "dpkg", "dpkg-deb"];
const SHELLS = ["sh", "bash", "dash", "busybox", "zsh", "ksh"];

export type Arch = keyof typeof MULTIARCH;

/**
 * Refuses an image that could not run or holds what it must not: every ELF file finds its loader and its libraries inside,
 * the entrypoint is there and executable, there is no package manager, and no shell unless asked for. Errors: E_PACK.
 */
export async function checkImage(
	name: string,
	tree: FileTree,
	arch: Arch,
	entrypoint: string,
	shell: boolean,
): Promise<void> {
	const faults = [...(await missingLibraries(tree, arch)), ...(await entrypointFaults(tree, entrypoint))];
	const unwanted = [...SYSTEM_PROGRAMS, ...(shell ? [] : SHELLS)].flatMap((p) => [`usr/bin/${p}`, `usr/sbin/${p}`]);
	faults.push(...unwanted.filter((p) => tree.get(p) !== undefined).map((p) => `/${p} is in it`));
	if (faults.length === 0) return;
	const next = "See `drop`, `keep` and `shell` in docs/packs.md.";
	throw new SlipwayError("E_PACK", `The image ${name} is not sound: ${faults.slice(0, 8).join("; ")}.`, { next });
}

/** What ELF files need and the tree does not have, one sentence each. */
export async function missingLibraries(tree: FileTree, arch: Arch): Promise<string[]> {
	const faults: string[] = [];
	for (const [file, entry] of tree.entries()) {
		if (entry.type !== "file") continue;
		const elf = parseElf(await bytesOf(entry.content));
		if (elf === undefined) continue;
		if (elf.machine !== MACHINE[arch]) faults.push(`/${file} is for another machine`);
		const loader = elf.interpreter;
		if (loader !== undefined && tree.resolve(loader)?.entry.type !== "file") faults.push(`/${file} needs ${loader}`);
		for (const library of elf.needed) {
			const found = searchPath(elf, file, arch).some((dir) => tree.resolve(`${dir}/${library}`)?.entry.type === "file");
			if (!found) faults.push(`/${file} needs ${library}`);
		}
	}
	return faults;
}

/** Folders that the dynamic loader looks in: the file's own, then its built-in ones. There is no ld.so.cache in an image. */
function searchPath(elf: Elf, file: string, arch: Arch): string[] {
	const own = elf.runPath.map((dir) =>
		path.posix.normalize(dir.replace(/\$\{?ORIGIN\}?/, `/${path.posix.dirname(file)}`)),
	);
	return [...own, `/usr/lib/${MULTIARCH[arch]}`, "/usr/lib64", "/usr/lib"];
}

async function entrypointFaults(tree: FileTree, program: string): Promise<string[]> {
	if (!program.startsWith("/")) return [`the entrypoint ${program} is not an absolute path`];
	const found = tree.resolve(program)?.entry;
	if (found?.type !== "file" || (found.mode & 0o111) === 0) return [`there is no program ${program}`];
	const head = (await bytesOf(found.content)).subarray(0, 256).toString("latin1");
	const interpreter = /^#!\s*(\S+)/.exec(head)?.[1];
	return interpreter !== undefined && tree.resolve(interpreter) === undefined
		? [`${program} needs ${interpreter}`]
		: [];
}

export async function bytesOf(content: Content): Promise<Buffer> {
	return content instanceof Uint8Array ? Buffer.from(content) : await readFile(content.file);
}
