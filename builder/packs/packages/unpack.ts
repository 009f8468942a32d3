import { createReadStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { extract, type Header } from "tar-stream";
import { SlipwayError } from "../../../bundle/errors.ts";
import { BlobFolder } from "../../oci/blob-folder.ts";
import { FileTree } from "../../oci/file-tree.ts";
import { debToTar } from "../../tools/dpkg.ts";
import type { Run, RunOptions } from "../../tools/run.ts";
import { type Deb, debPath } from "./archive.ts";

/** What a container has no use for: documentation, translations, and what only a booted system reads. */
const PRUNED = new RegExp(
	[
		"^boot|^media|^mnt|^opt|^srv|^usr/(games|include|local|src)",
		"^usr/share/(man|info|locale|lintian|apport|bug|bash-completion|doc-base|menu|pixmaps|base-files)",
		"^usr/lib/(systemd|tmpfiles.d|sysusers.d|udev)",
		"^etc/(init.d|default|logrotate.d|cron[.][a-z]+|ufw|update-motd.d|profile.d|skel|apparmor.d|rc[0-9S].d)",
	]
		.join("|")
		.replace(/(.+)/, "(?:$1)(?:/|$)"),
);
/** Licences ask for their text to stay. A package may have its folder as a link to another's. */
const DOCUMENT = /^usr\/share\/doc\/[^/]+\/(?!copyright$)/;

/**
 * The files of packages as a tree, read out of the package files one by one. Contents go to `<work>/files`, named by digest;
 * no path of an archive is ever written to. Set-uid and set-gid bits are taken away. Errors: E_PACK, E_TOOL_FAILED.
 */
export async function unpackDebs(
	run: Run,
	debs: readonly Deb[],
	cacheDir: string,
	work: string,
	options: RunOptions = {},
): Promise<FileTree> {
	const tree = new FileTree();
	const contents = new BlobFolder(path.join(work, "files"));
	const tar = path.join(work, "package.tar");
	await mkdir(contents.dir, { recursive: true });
	// base-files first: it brings the links of a merged /usr and the modes of the top folders.
	const ordered = [...debs].sort((a, b) => Number(b.name === "base-files") - Number(a.name === "base-files"));
	for (const deb of ordered) {
		await debToTar(run, debPath(cacheDir, deb.sha256), tar, options);
		await addTar(tree, tar, contents, deb.name);
		await rm(tar);
		const control = Object.entries(deb.fields)
			.map(([key, value]) => `${key}: ${value}\n`)
			.join("");
		const status = Buffer.from(control);
		// Where scanners look for packages when there is no dpkg (as in distroless images).
		tree.set(`var/lib/dpkg/status.d/${deb.name}`, { type: "file", mode: 0o644, uid: 0, gid: 0, content: status });
	}
	return tree;
}

async function addTar(tree: FileTree, tar: string, contents: BlobFolder, origin: string): Promise<void> {
	const reader = extract();
	const fed = pipeline(createReadStream(tar, { highWaterMark: 1 << 20 }), reader as unknown as NodeJS.WritableStream);
	const add = async () => {
		for await (const entry of reader)
			await addEntry(tree, entry.header, entry as unknown as Readable, contents, origin);
	};
	await Promise.all([fed, add()]);
}

async function addEntry(
	tree: FileTree,
	header: Header,
	body: Readable,
	contents: BlobFolder,
	origin: string,
): Promise<void> {
	const name = header.name.replace(/^\.?\/+/, "").replace(/\/+$/, "");
	const base = { mode: header.mode & 0o1777, uid: header.uid, gid: header.gid };
	if (name === "" || isPruned(name)) body.resume();
	else if (header.type === "file" || header.type === "contiguous-file") {
		const { digest, size } = await contents.putStream(body);
		tree.set(name, { ...base, type: "file", content: { file: contents.path(digest), size } });
	} else if (header.type === "directory") {
		body.resume();
		tree.set(name, { ...base, type: "directory" });
	} else if (header.type === "symlink") {
		body.resume();
		tree.set(name, { ...base, type: "symlink", target: header.linkname });
	} else if (header.type === "link") {
		body.resume();
		const target = tree.get(header.linkname);
		if (target === undefined) throw new SlipwayError("E_PACK", `${origin}: /${name} links to what is not there.`);
		tree.set(name, target);
	} else throw new SlipwayError("E_PACK", `${origin}: /${name} is a ${header.type}, which an image must not hold.`);
}

function isPruned(name: string): boolean {
	return PRUNED.test(name) || DOCUMENT.test(name);
}
