import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { blobFile } from "./contents.ts";
import { blobPath, type Digest, parseDigest } from "./digest.ts";
import { SlipwayError } from "./errors.ts";
import { readExactly } from "./tail.ts";
import { entryLength, type TarEntry, tarHeader } from "./tar.ts";

/** Plain bytes of a frame. Small, so that many clients served in place cost little memory. */
export const SLOT = 1024 * 1024;

/** An entry of the tar as frames' plain bytes: header, data, padding, cut every SLOT bytes. */
export function* bufferSlots(entry: TarEntry, data: Buffer): Generator<Buffer> {
	const whole = Buffer.alloc(entryLength(entry));
	const header = tarHeader(entry);
	header.copy(whole);
	data.copy(whole, header.length);
	for (let at = 0; at < whole.length; at += SLOT) yield whole.subarray(at, at + SLOT);
}

/**
 * A blob of the blob folder as slots. Its digest is checked on the way: the last slot comes only if it is right. The next
 * slot is read while the caller works on this one. Errors: E_BLOB_MISSING, E_DIGEST_MISMATCH, E_IO.
 */
export async function* blobSlots(blobDir: string, blob: { digest: Digest; size: number }): AsyncGenerator<Buffer> {
	const { digest, size } = blob;
	const { algorithm, hex } = parseDigest(digest);
	const entry = { name: blobPath(digest), size };
	const header = tarHeader(entry);
	const total = entryLength(entry);
	const hash = createHash(algorithm);
	const fd = await open(blobFile(blobDir, digest)).catch((cause: unknown) => {
		throw new SlipwayError("E_BLOB_MISSING", `The blob ${digest} is not in ${blobDir}.`, { cause });
	});
	let ahead: Promise<Slot> | undefined;
	try {
		for (let at = 0; at < total; at += SLOT) {
			const { plain, data } = await (ahead ?? readSlot(fd, header, size, at, total));
			ahead = at + SLOT < total ? readSlot(fd, header, size, at + SLOT, total) : undefined;
			ahead?.catch(() => undefined); // told when its turn comes
			hash.update(data);
			if (ahead === undefined && hash.digest("hex") !== hex) {
				throw new SlipwayError("E_DIGEST_MISMATCH", `The bytes of ${digest} in ${blobDir} have another digest.`);
			}
			yield plain;
		}
	} finally {
		await ahead?.catch(() => undefined);
		await fd.close();
	}
}

interface Slot {
	readonly plain: Buffer;
	/** The part of it that is the blob's own data. */
	readonly data: Buffer;
}

async function readSlot(fd: FileHandle, header: Buffer, size: number, at: number, total: number): Promise<Slot> {
	const length = Math.min(SLOT, total - at);
	const dataFrom = Math.max(0, at - header.length);
	const dataTo = Math.max(dataFrom, Math.min(size, at + length - header.length));
	const front = header.subarray(at, at + length);
	const data = await readExactly(fd, dataFrom, dataTo - dataFrom);
	const padding = Buffer.alloc(length - front.length - data.length);
	if (front.length + padding.length === 0) return { plain: data, data };
	return { plain: Buffer.concat([front, data, padding]), data };
}
