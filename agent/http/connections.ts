import type { Server, Socket } from "node:net";

/**
 * Lets one address have at most `most` connections at a time: those beyond are closed at once, so that one client cannot take
 * the place of all others. The returned function closes every connection, also those that have not said anything yet.
 */
export function limitConnections(server: Server, most: number): () => void {
	const open = new Map<string, Set<Socket>>();
	server.on("connection", (socket: Socket) => {
		const from = socket.remoteAddress ?? "";
		const others = open.get(from) ?? new Set();
		if (others.size >= most) {
			socket.destroy();
			return;
		}
		open.set(from, others.add(socket));
		socket.once("close", () => {
			others.delete(socket);
			if (others.size === 0) open.delete(from);
		});
	});
	return () => {
		for (const socket of [...open.values()].flatMap((sockets) => [...sockets])) socket.destroy();
	};
}
