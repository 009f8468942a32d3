import type { FastifyInstance } from "fastify";
import { type AppOptions, createApp } from "../http/app.ts";
import { auditPulls, type PullLog } from "./audit.ts";
import { blobs } from "./blobs.ts";
import { RegistryError, registryErrors } from "./errors.ts";
import { lists } from "./lists.ts";
import type { Registry } from "./lookup.ts";
import { manifests } from "./manifests.ts";
import { foldName } from "./paths.ts";
import { referrers } from "./referrers.ts";

export interface RegistryOptions extends Omit<AppOptions, "rewriteUrl"> {
	/** Told of every request for a manifest or a blob, when it has ended. */
	readonly audit?: PullLog;
}

/** The read side of the OCI distribution API, version 1.1. Names come from the view alone; nothing can be written. */
export function createRegistry(registry: Registry, { audit, ...options }: RegistryOptions): FastifyInstance {
	const app = createApp({ ...options, rewriteUrl: foldName });
	registryErrors(app);
	if (audit) auditPulls(app, audit);
	app.addHook("onRequest", async (request, reply) => {
		reply.header("docker-distribution-api-version", "registry/2.0");
		if (request.method !== "GET" && request.method !== "HEAD") {
			reply.header("connection", "close"); // the body, if any, is not read
			throw new RegistryError("UNSUPPORTED", "This registry is read-only.");
		}
	});
	app.get("/v2/", async () => ({}));
	app.get("/v2", async () => ({}));
	manifests(app, registry);
	blobs(app, registry);
	lists(app, registry);
	referrers(app, registry);
	return app;
}
