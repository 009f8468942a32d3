import { createHash } from "node:crypto";
import { type IncomingHttpHeaders, request } from "node:http";
import { onTestFinished } from "vitest";
import { listen } from "../../agent/http/app.ts";
import type { BlobSource } from "../../agent/registry/lookup.ts";
import { createRegistry, type RegistryOptions } from "../../agent/registry/registry.ts";
import type { View } from "../../agent/registry/view.ts";
import type { NameRecord } from "../../bundle/index-schema.ts";
import type { Descriptor } from "../../bundle/oci.ts";

/** Content of a registry in memory, in the manner of go-containerregistry's. */
export class MemoryBlobs implements BlobSource {
	readonly stored = new Map<string, Buffer>();
	/** Called before a piece is given; what it throws is the source's failure. */
	onPiece: (digest: string) => void = () => {};
	/** Bytes of a piece. */
	piece = 1 << 16;

	put(data: string | Buffer | object, mediaType: string, algorithm: "sha256" | "sha512" = "sha256"): Descriptor {
		const bytes = Buffer.from(typeof data === "string" || Buffer.isBuffer(data) ? data : JSON.stringify(data));
		const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
		this.stored.set(digest, bytes);
		return { mediaType, digest, size: bytes.length };
	}

	/** A manifest or index: the body says its own type. */
	putDocument(body: object, mediaType: string, algorithm?: "sha256" | "sha512"): Descriptor {
		return this.put({ schemaVersion: 2, mediaType, ...body }, mediaType, algorithm);
	}

	async read(digest: string): Promise<Buffer> {
		this.onPiece(digest);
		return this.stored.get(digest)!;
	}

	async stream(digest: string, _size: number, start: number, end: number): Promise<AsyncIterable<Buffer>> {
		const bytes = this.stored.get(digest)!.subarray(start, end + 1);
		const { onPiece, piece } = this;
		return (async function* () {
			for (let at = 0; at < bytes.length; at += piece) {
				onPiece(digest);
				yield bytes.subarray(at, at + piece);
			}
		})();
	}
}

export function record(ref: string, { mediaType, digest, size }: Descriptor, absent: string[] = []): NameRecord {
	return { ref, mediaType, digest, size, platforms: [], absent };
}

export interface Answer {
	readonly status: number;
	readonly headers: IncomingHttpHeaders;
	readonly body: Buffer;
	/** What the connection broke with before the body was whole. */
	readonly broken?: Error;
}
export type Ask = (line: string, headers?: Record<string, string>, body?: string) => Promise<Answer>;

/** The real HTTP server over a view and blobs, until the test ends. `ask` takes `METHOD /path` and sends just that. */
export async function serveView(
	view: () => View | undefined,
	blobs: BlobSource,
	options: Partial<RegistryOptions> = {},
): Promise<{ ask: Ask; port: number }> {
	const all = { tls: undefined, hosts: () => ["127.0.0.1"], maxConnections: 200, ...options };
	const app = createRegistry({ view, blobs }, all);
	onTestFinished(() => app.close());
	const port = await listen(app, "loopback", 0);
	return { port, ask: (line, headers, body) => send(port, line, headers, body) };
}

function send(port: number, line: string, headers = {}, body?: string): Promise<Answer> {
	const [method, path] = line.split(" ");
	return new Promise((resolve, reject) => {
		const sent = request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (response) => {
			const parts: Buffer[] = [];
			const answer = (broken?: Error) =>
				resolve({
					status: response.statusCode!,
					headers: response.headers,
					body: Buffer.concat(parts),
					...(broken && { broken }),
				});
			response
				.on("data", (part) => parts.push(part))
				.on("end", () => answer())
				.on("error", answer);
		});
		sent.on("error", reject).end(body);
	});
}
