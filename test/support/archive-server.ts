import { once } from "node:events";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { pipeline } from "node:stream/promises";

export interface ArchiveServer {
	readonly url: string;
	/** Paths asked for, in order. */
	readonly asked: readonly string[];
	close(): Promise<void>;
}

/** Serves a folder's files on loopback, and nothing else. `port` 0: any; one that is taken: any. `demands` names
 * the Authorization header that a path wants. */
export async function serveFolder(
	folder: string,
	port = 0,
	demands: (path: string) => string | undefined = () => undefined,
): Promise<ArchiveServer> {
	const asked: string[] = [];
	const server = createServer(async (request, response) => {
		const name = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
		asked.push(name);
		const wanted = demands(name);
		if (wanted !== undefined && request.headers.authorization !== wanted) {
			response.writeHead(401, { "www-authenticate": 'Basic realm="private"' }).end();
			return;
		}
		// A path of a URL is normalised, but an encoded one may climb.
		const file = path.join(folder, path.posix.normalize(`/${name}`));
		const found = await stat(file).catch(() => undefined);
		if (!found?.isFile() || (request.method !== "GET" && request.method !== "HEAD")) {
			response.writeHead(404).end();
			return;
		}
		response.writeHead(200, { "content-length": found.size });
		if (request.method === "HEAD") response.end();
		// A client that goes away is its own matter.
		else await pipeline(createReadStream(file), response).catch(() => response.destroy());
	});
	const listen = async (at: number) => {
		server.listen(at, "127.0.0.1");
		await once(server, "listening");
	};
	await listen(port).catch((error: NodeJS.ErrnoException) => {
		if (error.code !== "EADDRINUSE") throw error;
		return listen(0);
	});
	return {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		asked,
		close: async () => {
			server.closeAllConnections();
			server.close();
			await once(server, "close");
		},
	};
}
