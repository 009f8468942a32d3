import { readFile } from "node:fs/promises";
import path from "node:path";
import { SlipwayError } from "../../../bundle/errors.ts";
import type { Content, FileTree } from "../../oci/file-tree.ts";
import type { PackOf } from "../definition.ts";
import { bytesOf } from "./gates.ts";

type Definition = PackOf<"packages">;

/**
 * Adds to the files of the packages what their maintainer scripts, which are never run, would have made, and what the
 * definition asks for. `folder` is where the paths of the definition start. Errors: E_PACK.
 */
export async function composeImage(tree: FileTree, pack: Definition, folder: string): Promise<void> {
	for (const name of pack.remove) {
		if (!tree.remove(name)) throw new SlipwayError("E_PACK", `${pack.name}: there is no ${name} to remove.`);
	}
	addUsers(tree, pack.user);
	if (pack.shell && tree.get("usr/bin/sh") === undefined) link(tree, "usr/bin/sh", "dash");
	await addCertificates(tree);
	await addOpensslLinks(tree);
	for (const [name, mode] of Object.entries(pack.directories)) {
		const { uid, gid } = pack.user;
		tree.set(name, { type: "directory", mode: Number.parseInt(mode, 8), uid, gid }, "replace");
	}
	for (const [name, file] of Object.entries(pack.files)) {
		const content = "text" in file ? Buffer.from(file.text) : await readFile(path.resolve(folder, file.from));
		put(tree, name, content, Number.parseInt(file.mode, 8));
	}
	for (const [name, target] of Object.entries(pack.links)) link(tree, name, target);
}

/** Root and nobody, because programs look them up, and the one user that the container runs as. */
function addUsers(tree: FileTree, { name, uid, gid }: Definition["user"]): void {
	const nologin = "/usr/sbin/nologin";
	const users = [
		["root", 0, 0, "/root"],
		[name, uid, gid, "/"],
		["nobody", 65534, 65534, "/nonexistent"],
	] as const;
	const passwd = users.map(([user, u, g, home]) => `${user}:x:${u}:${g}:${user}:${home}:${nologin}\n`).join("");
	const groups = [
		["root", 0],
		[name, gid],
		["nogroup", 65534],
	] as const;
	put(tree, "etc/passwd", passwd);
	put(tree, "etc/group", groups.map(([group, g]) => `${group}:x:${g}:\n`).join(""));
	put(tree, "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n");
}

/** What update-ca-certificates makes: every certificate in one file. */
async function addCertificates(tree: FileTree): Promise<void> {
	const found = tree.entries().filter(([name]) => /^usr\/share\/ca-certificates\/.+\.crt$/.test(name));
	const texts: string[] = [];
	for (const [, entry] of found) {
		if (entry.type === "file") texts.push(`${(await bytesOf(entry.content)).toString("utf8").trimEnd()}\n`);
	}
	if (texts.length > 0) put(tree, "etc/ssl/certs/ca-certificates.crt", texts.join(""));
}

/** The links by which libcrypto finds /etc/ssl; the distribution ships them with the openssl program, which images lack. */
async function addOpensslLinks(tree: FileTree): Promise<void> {
	const folder = await opensslFolder(tree);
	if (folder === undefined || folder === "etc/ssl") return;
	for (const name of ["openssl.cnf", "certs", "private"]) link(tree, `${folder}/${name}`, `/etc/ssl/${name}`);
	link(tree, `${folder}/cert.pem`, "/etc/ssl/certs/ca-certificates.crt");
}

/** OPENSSLDIR as it is compiled into the image's libcrypto, without the leading slash; undefined if it has no libcrypto. */
export async function opensslFolder(tree: FileTree): Promise<string | undefined> {
	const library = findLibcrypto(tree);
	if (library === undefined) return undefined;
	const text = (await bytesOf(library)).toString("latin1");
	return /OPENSSLDIR: "\/([\x21-\x7e]+)"/.exec(text)?.[1] ?? "usr/lib/ssl";
}

function findLibcrypto(tree: FileTree): Content | undefined {
	const entry = tree.entries().find(([name]) => /^usr\/lib\/([^/]+\/)?libcrypto\.so\.3$/.test(name))?.[1];
	return entry?.type === "file" ? entry.content : undefined;
}

export function put(tree: FileTree, name: string, content: Uint8Array | string, mode = 0o644): void {
	const bytes = typeof content === "string" ? Buffer.from(content) : content;
	tree.set(name, { type: "file", mode, uid: 0, gid: 0, content: bytes });
}

function link(tree: FileTree, name: string, target: string): void {
	tree.set(name, { type: "symlink", mode: 0o777, uid: 0, gid: 0, target });
}
