import { stat } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { SlipwayError } from "../../bundle/errors.ts";

/**
 * Takes the store for this process. The lock is a bound abstract unix socket named after the folder's inode: the kernel
 * frees it when the process ends, however it ends, and two paths to one folder are one lock. Errors: E_BUSY.
 */
export async function lockStore(folder: string): Promise<Server> {
	const { dev, ino } = await stat(folder);
	const server = createServer((socket) => socket.destroy());
	await new Promise<void>((resolve, reject) => {
		server.once("error", (error: NodeJS.ErrnoException) => {
			if (error.code !== "EADDRINUSE") reject(error);
			else reject(new SlipwayError("E_BUSY", `Another agent already uses the store ${folder}.`));
		});
		server.listen({ path: `\0slipway-store-${dev}-${ino}` }, resolve);
	});
	server.unref();
	return server;
}
