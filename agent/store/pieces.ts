import type { FileHandle } from "node:fs/promises";

const PIECE = 1 << 18;
/** One is being read, one is with whoever asked for it, and one may be held back until what follows is there. */
const BUFFERS = 3;

/**
 * Bytes `from` up to `to` of a file in pieces, each next one read while the last is used; fewer where the file ends before.
 * The memory is used again: a piece is valid until the one after the next is asked for.
 */
export async function* pieces(handle: FileHandle, from: number, to: number): AsyncGenerator<Buffer> {
	const size = Math.min(PIECE, to - from);
	const buffers: Buffer[] = [];
	let at = from;
	const read = async (turn: number): Promise<Buffer> => {
		const buffer = buffers[turn % BUFFERS] ?? Buffer.allocUnsafeSlow(size);
		buffers[turn % BUFFERS] = buffer;
		const { bytesRead } = await handle.read(buffer, 0, Math.min(size, to - at), at);
		at += bytesRead;
		return buffer.subarray(0, bytesRead);
	};
	let turn = 0;
	let next: Promise<Buffer> | undefined = size > 0 ? read(turn) : undefined;
	try {
		while (next !== undefined) {
			const piece: Buffer = await next;
			next = piece.length > 0 && at < to ? read(++turn) : undefined;
			next?.catch(() => undefined); // told when it is its turn
			if (piece.length > 0) yield piece;
		}
	} finally {
		await next?.catch(() => undefined); // the file may be closed when this has ended
	}
}
