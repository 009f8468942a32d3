import { open } from "node:fs/promises";

const CHUNK = 1 << 20;

/**
 * The bytes of a file, or of `size` bytes of it from `start`. The next chunk is read while the caller works on this one, which
 * for hashing halves the time; a chunk is valid only until the next is asked for. Ends early where the file does.
 */
export async function* chunksOf(file: string, start = 0, size = Number.MAX_SAFE_INTEGER): AsyncGenerator<Buffer> {
	const handle = await open(file);
	try {
		const buffers = [Buffer.allocUnsafe(CHUNK), Buffer.allocUnsafe(CHUNK)] as const;
		const read = (into: Buffer, done: number) => handle.read(into, 0, Math.min(CHUNK, size - done), start + done);
		let pending = read(buffers[0], 0);
		for (let turn = 0, done = 0; ; turn ^= 1) {
			const { bytesRead } = await pending;
			done += bytesRead;
			if (bytesRead === 0) return;
			pending = done < size ? read(buffers[turn ^ 1]!, done) : Promise.resolve({ bytesRead: 0, buffer: buffers[0] });
			// A failure is told when the chunk is asked for, not while nobody waits for it.
			pending.catch(() => undefined);
			yield buffers[turn]!.subarray(0, bytesRead);
		}
	} finally {
		await handle.close();
	}
}
