import type { FastifyInstance, FastifyRequest } from "fastify";
import { SlipwayError } from "../../bundle/errors.ts";
import { createApp } from "../http/app.ts";
import { problems } from "../status/problem.ts";
import type { State } from "../status/state.ts";
import { fsck } from "../store/fsck.ts";
import { collectAll } from "../store/gc.ts";
import { takeInventory } from "../store/inventory.ts";
import type { Scrub } from "../store/scrub.ts";
import type { StoreSource } from "../store/source.ts";
import { tellCheck } from "../store/tell.ts";
import { CONTROL_HOST } from "./socket.ts";
import { Turn } from "./turn.ts";

/** What the control socket works on. */
export interface Controlled {
	readonly state: State;
	/** The open store. */
	readonly source: () => Promise<StoreSource>;
	readonly scrub: Scrub;
}

/**
 * The API of the control socket: care of the store, for whoever may open the socket. One piece of work at a time; a client that
 * goes away ends its check. Errors are problem documents: E_BUSY 409, E_USAGE 400.
 */
export function createControl({ state, source, scrub }: Controlled): FastifyInstance {
	const app = createApp({ tls: undefined, hosts: () => [CONTROL_HOST], maxConnections: 16 });
	app.server.setTimeout(0); // a check of a large store says nothing for long
	problems(app);
	const turn = new Turn();
	app.addHook("onClose", () => turn.settled());
	app.get("/v1/status", async () => state.status);
	app.post<{ Querystring: { mode?: string } }>("/v1/store/fsck", (request) => {
		const mode = request.query.mode ?? "quick";
		if (mode !== "quick" && mode !== "full") throw new SlipwayError("E_USAGE", "`mode` is quick or full.");
		return turn.take(`fsck (${mode})`, async () => {
			const blobs = await source();
			const condemn = blobs.condemn.bind(blobs);
			const report = await fsck(blobs.store, { mode, condemn, signal: untilGone(request) });
			tellCheck(state, report.documents, [...report.bad, ...report.missing]);
			return report;
		});
	});
	app.post("/v1/store/gc", () => turn.take("gc", async () => collectAll((await source()).store)));
	app.post("/v1/store/scrub", async (_request, reply) => {
		scrub.start();
		return reply.code(202).send(scrub.status);
	});
	app.get("/v1/store/inventory", async () => takeInventory((await source()).store));
	return app;
}

/** Aborted when the client closes its connection. */
function untilGone(request: FastifyRequest): AbortSignal {
	const gone = new AbortController();
	request.raw.socket.once("close", () => gone.abort(new SlipwayError("E_INTERRUPTED", "The client has gone.")));
	return gone.signal;
}
