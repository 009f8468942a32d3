import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";

/** Body bytes that went into the answers whose pieces are sent here. */
const sent = new WeakMap<ServerResponse, number>();

/** Body bytes of an answer by `sendPieces` that the kernel has taken so far. */
export function bytesSent(response: ServerResponse): number {
	return sent.get(response) ?? 0;
}

/**
 * Sends pieces as the body, one at a time: the next is asked for when the kernel has taken the last, so that a slow client
 * holds one piece in memory and a source may use its buffers again. Written straight to the answer: a stream between takes
 * more than twice the processor time. Nothing is sent before the first piece is there, so that its failure is still an answer;
 * after a later one the connection breaks, and the client sees that bytes are missing. So it does where the pieces are not
 * `length` bytes in all: the next answer's would be taken for this one's. Errors: those of the first piece.
 */
export async function sendPieces(
	reply: FastifyReply,
	pieces: AsyncIterable<Buffer>,
	length: number,
): Promise<FastifyReply> {
	const { raw } = reply;
	const iterator = pieces[Symbol.asyncIterator]();
	let piece = await iterator.next();
	reply.header("content-length", length).hijack();
	raw.writeHead(reply.statusCode, reply.getHeaders() as Record<string, string>);
	try {
		let total = 0;
		for (; !piece.done && total + piece.value.length <= length; piece = await iterator.next()) {
			await write(raw, piece.value);
			total += piece.value.length;
			sent.set(raw, total);
		}
		if (piece.done && total === length) raw.end();
		else raw.destroy();
	} catch {
		raw.destroy(); // the client has gone, or the source has told its own trouble
	} finally {
		await iterator.return?.().catch(() => undefined);
	}
	return reply;
}

/** Resolves when the kernel has taken the bytes. */
function write(response: ServerResponse, bytes: Buffer): Promise<void> {
	return new Promise((resolve, reject) => {
		const closed = () => reject(new Error("The client has gone."));
		response.once("close", closed);
		response.write(bytes, (error) => {
			response.off("close", closed);
			if (error) reject(error);
			else resolve();
		});
	});
}
