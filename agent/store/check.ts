import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { parseDigest } from "../../bundle/digest.ts";
import { type Evidence, evidenceOf } from "./evidence.ts";
import { pieces } from "./pieces.ts";

/** Told the bytes of each piece that was read; may hold the reading up. */
export type Pace = (bytes: number) => Promise<void> | void;

/** What a whole read of a blob found: nothing wrong, or what is; and which file it was. */
export interface Check {
	readonly fault: string | undefined;
	readonly seen: Evidence;
}

/**
 * Reads a blob's file to its end and compares size and digest. It is hashed in small pieces, so that requests are answered
 * between two of them. Sectors that cannot be read (EIO) are a
 * fault of the blob; other errors of reading are thrown.
 */
export async function checkFile(handle: FileHandle, digest: string, size: number, pace?: Pace): Promise<Check> {
	const seen = evidenceOf(await handle.stat({ bigint: true }));
	if (seen[0] !== size) return { fault: `${seen[0]} bytes instead of ${size}`, seen };
	const { algorithm, hex } = parseDigest(digest);
	const hash = createHash(algorithm);
	let at = 0;
	try {
		for await (const piece of pieces(handle, 0, size)) {
			hash.update(piece);
			at += piece.length;
			await pace?.(piece.length);
		}
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
		return { fault: `it cannot be read behind byte ${at}`, seen };
	}
	return { fault: hash.digest("hex") === hex ? undefined : "its bytes have another digest", seen };
}
