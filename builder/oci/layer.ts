import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { type Header, type Pack, pack } from "tar-stream";
import type { BlobFolder, Expected } from "./blob-folder.ts";
import type { Content, Entry } from "./file-tree.ts";

export interface Layer extends Expected {
	/** SHA-256 of the uncompressed tar, as the image's config lists it. */
	readonly diffId: string;
}

/** Path and what is there. */
export type Entries = readonly (readonly [string, Entry])[];

/**
 * Writes entries, in the order given, as one gzip'd tar. Same entries and epoch, same bytes: owners are numeric, every mtime
 * is `epoch` (seconds), and the gzip header holds neither name nor time.
 */
export async function writeLayer(blobs: BlobFolder, entries: Entries, epoch: number): Promise<Layer> {
	const tar = pack();
	const hash = createHash("sha256");
	const gzip = createGzip({ level: 6, chunkSize: 1 << 18 });
	const hashed = async function* () {
		for await (const chunk of tar as AsyncIterable<Buffer>) {
			hash.update(chunk);
			yield chunk;
		}
	};
	const compressed = pipeline(hashed(), gzip);
	const [blob] = await Promise.all([blobs.putStream(gzip), compressed, writeEntries(tar, entries, epoch)]);
	return { ...blob, diffId: `sha256:${hash.digest("hex")}` };
}

export async function writeEntries(tar: Pack, entries: Entries, epoch: number): Promise<void> {
	try {
		for (const [name, entry] of entries) {
			const base = { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: new Date(epoch * 1000) };
			if (entry.type === "directory") await writeEntry(tar, { ...base, name: `${name}/`, type: "directory", size: 0 });
			else if (entry.type === "symlink") {
				await writeEntry(tar, { ...base, name, type: "symlink", linkname: entry.target, size: 0 });
			} else {
				const size = entry.content instanceof Uint8Array ? entry.content.length : entry.content.size;
				await writeEntry(tar, { ...base, name, type: "file", size }, entry.content);
			}
		}
		tar.finalize();
	} catch (error) {
		tar.destroy(error as Error);
		throw error;
	}
}

function writeEntry(tar: Pack, header: Partial<Header> & { name: string }, content?: Content): Promise<void> {
	return new Promise((resolve, reject) => {
		const entry = tar.entry(header, (error) => (error ? reject(error) : resolve()));
		if (content instanceof Uint8Array) entry.end(Buffer.from(content));
		else if (content !== undefined)
			pipeline(createReadStream(content.file), entry as unknown as Writable).catch(reject);
	});
}
