import { createReadStream } from "node:fs";
import { lstat, readdir, readFile } from "node:fs/promises";
import path from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { extract } from "tar-stream";
import { z } from "zod";
import { SlipwayError } from "../../bundle/errors.ts";
import { type Descriptor, imageIndex, MAX_MANIFEST } from "../../bundle/oci.ts";
import type { BlobFolder } from "./blob-folder.ts";

/** An OCI image layout that content is taken from. */
export interface Layout {
	/** Entries of its index.json. */
	readonly roots: readonly Descriptor[];
	has(blob: Pick<Descriptor, "digest" | "size">): Promise<boolean>;
	/** Puts a blob of the layout into a blob folder, checked against its digest and size. */
	copy(blob: Pick<Descriptor, "digest" | "size">): Promise<void>;
}

/** Manifests are never as large, so they are always hashed on the way in. */
const LINK_FROM = MAX_MANIFEST + 1;

const layoutFile = z.looseObject({ imageLayoutVersion: z.literal("1.0.0") });

/** Opens a layout: a folder, or a plain tar of one, whose blobs are read into `blobs` at once. Errors: E_PACK, E_DIGEST_MISMATCH. */
export async function openLayout(source: string, blobs: BlobFolder): Promise<Layout> {
	const stat = await lstat(source);
	if (stat.isDirectory()) return await openFolder(source, blobs);
	if (stat.isFile()) return await readTar(source, blobs);
	throw new SlipwayError("E_PACK", `${source} is neither a folder nor a file.`);
}

/** What a layout's folder holds, without reading its blobs: their names say what they are. */
export async function layoutInventory(folder: string): Promise<string[]> {
	const names = await readdir(path.join(folder, "blobs"), { recursive: true }).catch(() => []);
	const files = await Promise.all(
		names.map(async (name) => {
			const found = await lstat(path.join(folder, "blobs", name)).catch(() => undefined);
			return found?.isFile() === true ? [`${name} ${found.size}`] : [];
		}),
	);
	return files.flat().sort();
}

async function openFolder(folder: string, blobs: BlobFolder): Promise<Layout> {
	const inside = new LayoutBlobs(folder);
	const file = (name: string) =>
		readFile(path.join(folder, name)).catch((cause: NodeJS.ErrnoException) => {
			throw new SlipwayError("E_PACK", `${folder} is no OCI image layout: ${name} cannot be read (${cause.code}).`, {
				cause,
			});
		});
	const roots = parseLayout(folder, await file("oci-layout"), await file("index.json"));
	return {
		roots,
		has: (blob) => inside.has(blob),
		copy: async (blob) => {
			const file = inside.path(blob.digest);
			if (blob.size < LINK_FROM) await blobs.putFile(file, blob);
			else await blobs.linkFile(file, blob);
		},
	};
}

class LayoutBlobs {
	readonly #folder: string;

	constructor(folder: string) {
		this.#folder = folder;
	}

	path(digest: string): string {
		const [algorithm, hex] = digest.split(":") as [string, string];
		return path.join(this.#folder, "blobs", algorithm, hex);
	}

	async has({ digest, size }: Pick<Descriptor, "digest" | "size">): Promise<boolean> {
		const found = await lstat(this.path(digest)).catch(() => undefined);
		return found?.isFile() === true && found.size === size;
	}
}

async function readTar(file: string, blobs: BlobFolder): Promise<Layout> {
	const small = new Map<string, Buffer>();
	const reader = extract();
	const fail = (why: string) => new SlipwayError("E_PACK", `${file} is no tar of an OCI image layout: ${why}.`);
	const read = async () => {
		for await (const entry of reader) {
			const { type, size } = entry.header;
			const name = entry.header.name.replace(/^\.\//, "");
			const blob = /^blobs\/(sha256|sha512)\/([0-9a-f]+)$/.exec(name);
			const body = entry as unknown as Readable;
			if (type === "directory") body.resume();
			else if (type !== "file") throw fail(`${JSON.stringify(name)} is a ${type}`);
			else if (blob !== null) await blobs.putStream(body, { digest: `${blob[1]}:${blob[2]}`, size });
			else if (size <= MAX_MANIFEST) small.set(name, await readAll(body));
			else throw fail(`${JSON.stringify(name)} has no place in it`);
			// A blob that is there already is not read; the stream must be all the same.
			body.resume();
		}
	};
	await Promise.all([pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), reader as never), read()]).catch(
		(error) => {
			throw error instanceof SlipwayError ? error : fail((error as Error).message);
		},
	);
	const part = (name: string) => {
		const bytes = small.get(name);
		if (bytes === undefined) throw fail(`it has no ${name}`);
		return bytes;
	};
	return {
		roots: parseLayout(file, part("oci-layout"), part("index.json")),
		has: (blob) => blobs.has(blob),
		copy: async (blob) => {
			throw fail(`it has no blob ${blob.digest}`);
		},
	};
}

async function readAll(body: AsyncIterable<Buffer>): Promise<Buffer> {
	const chunks: Buffer[] = [];
	for await (const chunk of body) chunks.push(chunk);
	return Buffer.concat(chunks);
}

function parseLayout(source: string, layout: Buffer, index: Buffer): readonly Descriptor[] {
	try {
		layoutFile.parse(JSON.parse(layout.toString("utf8")));
		return imageIndex.parse(JSON.parse(index.toString("utf8"))).manifests;
	} catch (cause) {
		throw new SlipwayError("E_PACK", `${source} is no OCI image layout: oci-layout or index.json is not valid.`, {
			cause,
		});
	}
}
