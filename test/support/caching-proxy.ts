import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

export interface CachingProxy {
	readonly url: string;
	/** How often it had to ask another machine so far. */
	readonly asked: () => number;
	close(): Promise<void>;
}

interface Answer {
	readonly status: number;
	readonly modified: string | null;
	readonly body: Buffer;
}

/**
 * An HTTP proxy on loopback for package archives. Packages stay in `folder` for good, since their names hold their versions.
 * Indices are those of now, and the same for all until it is closed; what was asked for the last time is at hand from the start.
 */
export async function openCachingProxy(folder: string): Promise<CachingProxy> {
	const indices = new Map<string, Answer>();
	let asked = 0;
	await mkdir(folder, { recursive: true });
	const answer = async (url: string, waiting?: ServerResponse): Promise<Answer> => {
		const file = join(folder, createHash("sha256").update(url).digest("hex"));
		const kept = indices.get(url) ?? (await readFile(file).then(packageOf, () => undefined));
		if (kept !== undefined) return kept;
		asked++;
		const response = await fetch(url);
		// A large package takes longer to fetch than apt waits for the first byte.
		if (response.ok) waiting?.writeHead(200);
		const chunks: Uint8Array[] = [];
		for await (const chunk of response.body ?? []) {
			chunks.push(chunk);
			if (response.ok) waiting?.write(chunk);
		}
		const body = Buffer.concat(chunks);
		const fresh = { status: response.status, modified: response.headers.get("last-modified"), body };
		if (!response.ok || !url.endsWith(".deb")) indices.set(url, fresh);
		else {
			await writeFile(`${file}.${asked}.tmp`, body);
			await rename(`${file}.${asked}.tmp`, file);
		}
		return fresh;
	};
	const last = join(folder, "indices.json");
	const urls = await readFile(last, "utf8").then(JSON.parse, () => []);
	await Promise.all(urls.map((url: string) => answer(url)));
	const server = createServer((request, response) => {
		const url = request.url ?? "";
		answer(url, url.endsWith(".deb") ? response : undefined).then(
			(found) => (response.headersSent ? response.end() : send(response, found)),
			(error) => refuse(response, error),
		);
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	return {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		asked: () => asked,
		close: async () => {
			server.closeAllConnections();
			server.close();
			await once(server, "close");
			// What is named by its digest is gone with the next one; what was never there may be looked for again.
			const lasting = [...indices].filter(([url, { status }]) => status === 200 || !url.includes("/by-hash/"));
			await writeFile(last, JSON.stringify(lasting.map(([url]) => url)));
		},
	};
}

function packageOf(body: Buffer): Answer {
	return { status: 200, modified: null, body };
}

function refuse(response: ServerResponse, error: Error): void {
	if (response.headersSent) response.destroy();
	else response.writeHead(502, error.message.replaceAll(/[^ -~]/g, "?")).end();
}

function send(response: ServerResponse, { status, modified, body }: Answer): void {
	const time = modified === null ? {} : { "last-modified": modified };
	response.writeHead(status, { "content-length": body.length, ...time }).end(body);
}
