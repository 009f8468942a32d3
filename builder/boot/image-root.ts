import { createReadStream } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { extract, type Header } from "tar-stream";
import { SlipwayError } from "../../bundle/errors.ts";
import { parseManifest } from "../../bundle/oci.ts";
import { BlobFolder } from "../oci/blob-folder.ts";
import { FileTree } from "../oci/file-tree.ts";
import { materialize } from "../oci/materialize.ts";

/**
 * Unpacks a pulled image (a folder of `manifest.json` and blobs by hex) into a new root folder. No path of a layer is written to:
 * contents go to files named by digest, the layers are joined in memory, and only checked paths are made on disk.
 */
export async function unpackImage(folder: string, work: string, root: string): Promise<void> {
	const contents = new BlobFolder(join(work, "files"));
	await mkdir(contents.dir, { recursive: true });
	const bytes = await readFile(join(folder, "manifest.json"));
	const { mediaType } = JSON.parse(bytes.toString("utf8")) as { mediaType: string };
	const manifest = parseManifest(bytes, mediaType);
	if (manifest.kind !== "manifest")
		throw new SlipwayError("E_BOOT_CHECK", "The box gave an image index, not an image.");
	const tree = new FileTree();
	for (const layer of manifest.layers) {
		const hex = layer.digest.slice(layer.digest.indexOf(":") + 1);
		await addLayer(tree, join(folder, hex), decoder(layer.mediaType), contents);
	}
	await materialize(tree, root);
}

function decoder(mediaType: string): Transform {
	if (mediaType.endsWith("gzip")) return createGunzip();
	if (mediaType.endsWith("zstd")) return createZstdDecompress();
	return new Transform({ transform: (chunk, _encoding, done) => done(null, chunk) });
}

async function addLayer(tree: FileTree, file: string, decode: Transform, contents: BlobFolder): Promise<void> {
	const reader = extract();
	const fed = pipeline(createReadStream(file), decode, reader as unknown as NodeJS.WritableStream);
	const add = async () => {
		for await (const entry of reader) await addEntry(tree, entry.header, entry as unknown as Readable, contents);
	};
	await Promise.all([fed, add()]);
}

async function addEntry(tree: FileTree, header: Header, body: Readable, contents: BlobFolder): Promise<void> {
	const { name, type } = header;
	const base = { mode: (header.mode ?? 0o644) & 0o755, uid: 0, gid: 0 };
	if (type === "file") {
		const { digest, size } = await contents.putStream(body);
		if (basename(name).startsWith(".wh.")) tree.remove(join(name, "..", basename(name).slice(4)));
		else tree.set(name, { ...base, type: "file", content: { file: contents.path(digest), size } }, "replace");
		return;
	}
	body.resume();
	if (type === "directory") tree.set(name, { ...base, mode: 0o755, type: "directory" });
	else if (type === "symlink") tree.set(name, { ...base, type: "symlink", target: header.linkname ?? "" });
	else if (type === "link") {
		const target = tree.get(header.linkname ?? "");
		if (target !== undefined) tree.set(name, target);
	}
}
