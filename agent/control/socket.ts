import { chmod, mkdtemp, rename, rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import { SlipwayError } from "../../bundle/errors.ts";

/** What the kernel takes for a socket's path, without its end (unix(7)). */
const MAX_PATH = 107;
/** The name that requests over the socket give as their host. */
export const CONTROL_HOST = "slipway.control";

export function controlPath(run: string): string {
	return join(run, "control.sock");
}

/**
 * Listens on `<run>/control.sock`, which only its owner and root can open (0600). It is made under another name in a folder
 * of its own and gets its name by a rename, so that at no time others may open it, and one that a dead agent left is replaced.
 * The returned function stops listening. Errors: E_CONFIG (the path is too long), E_BUSY (another agent listens there).
 */
export async function listenOnSocket(app: FastifyInstance, run: string): Promise<() => Promise<void>> {
	const path = controlPath(run);
	const folder = join(run, "ctl-");
	if (Buffer.byteLength(join(`${folder}XXXXXX`, "s")) > MAX_PATH) {
		throw new SlipwayError("E_CONFIG", `The path ${path} is too long for a socket.`, {
			next: "Use a shorter path for `run`.",
		});
	}
	if (await answers(path)) throw new SlipwayError("E_BUSY", `Another agent uses the folder ${run}.`);
	const own = await mkdtemp(folder); // 0700
	try {
		await app.listen({ path: join(own, "s") });
		await chmod(join(own, "s"), 0o600);
		await rename(join(own, "s"), path);
	} catch (error) {
		await app.close();
		throw error;
	} finally {
		await rm(own, { recursive: true, force: true });
	}
	return async () => {
		await rm(path, { force: true });
		await app.close();
	};
}

function answers(path: string): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = connect(path);
		socket.once("connect", () => resolve(true));
		socket.once("error", () => resolve(false));
		socket.once("connect", () => socket.destroy());
	});
}
