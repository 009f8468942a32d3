import { connect, createServer, type Server, type Socket } from "node:net";
import { SlipwayError } from "../../bundle/errors.ts";
import { sha256Of } from "./canonical.ts";

export interface Lock {
	release(): Promise<void>;
}

/**
 * Node has no flock. An abstract unix socket is held by at most one process and is gone the moment that process is, also
 * after kill -9, so that no stale lock can be left. Resolves to undefined when another process holds it.
 */
export async function tryLock(name: string): Promise<Lock | undefined> {
	// A socket's name has at most 108 bytes, a path may have more.
	const address = addressOf(name);
	const sockets = new Set<Socket>();
	const server: Server = createServer((socket) => {
		// Who connects waits for the end of the connection.
		sockets.add(socket);
		socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
	});
	const held = await new Promise<boolean>((resolve, reject) => {
		server.once("error", (error: NodeJS.ErrnoException) =>
			error.code === "EADDRINUSE" ? resolve(false) : reject(error),
		);
		server.listen(address, () => resolve(true));
	});
	if (!held) return undefined;
	const release = () =>
		new Promise<void>((resolve) => {
			server.close(() => resolve());
			for (const socket of sockets) socket.destroy();
		});
	return { release };
}

/**
 * Takes the lock, waiting for its holder if there is one; `onWait` is called once then.
 * Errors: E_INTERRUPTED.
 */
export async function lock(name: string, signal: AbortSignal, onWait: () => void): Promise<Lock> {
	for (let attempt = 0; ; attempt++) {
		if (signal.aborted) throw new SlipwayError("E_INTERRUPTED", "Interrupted.");
		const held = await tryLock(name);
		if (held !== undefined) return held;
		if (attempt === 0) onWait();
		await holderGone(name, signal);
	}
}

/** Resolves when the connection to the holder ends: it released the lock, or died. */
function holderGone(name: string, signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		const socket = connect(addressOf(name));
		const stop = () => socket.destroy();
		signal.addEventListener("abort", stop, { once: true });
		socket
			.on("error", () => undefined)
			.on("close", () => {
				signal.removeEventListener("abort", stop);
				resolve();
			});
		socket.resume();
	});
}

function addressOf(name: string): string {
	return `\0slipway-${sha256Of(name)}`;
}
