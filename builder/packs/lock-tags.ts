import { randomUUID } from "node:crypto";
import { BlobFolder } from "../oci/blob-folder.ts";
import { StageCache } from "../plan/cache.ts";
import { run as plainRun, type Run } from "../tools/run.ts";
import type { BundleDefinition } from "./definition.ts";
import { Lock } from "./lock.ts";
import { registryAccess } from "./registry/access.ts";
import { fetchRoot } from "./sources/registry.ts";

export interface LockRequest {
	readonly cacheDir: string;
	/** REGISTRY_AUTH_FILE and REGISTRY_CA. */
	readonly env: NodeJS.ProcessEnv;
	readonly signal: AbortSignal;
}

/**
 * Asks the registry for the digest of each tag of a definition that is not locked yet, and writes the lock. Done before a plan
 * is made, so that ids stand on digests: a build that locked tags while it ran would be out of date the moment it ended.
 * Errors: E_REGISTRY_AUTH, E_REGISTRY_UNREACHABLE, E_OCI.
 */
export async function lockTags(definition: BundleDefinition, o: LockRequest, run: Run = plainRun): Promise<void> {
	const lock = await Lock.open(definition.file, false);
	const images = definition.packs.flatMap((pack) => (pack.source === "registry" ? [pack.image] : []));
	const open = images.filter((image) => !image.includes("@") && lock.known(image) === undefined);
	if (open.length === 0) return;
	const registry = await registryAccess(o.env);
	const { folder: work, close } = await new StageCache(o.cacheDir).openWork(randomUUID());
	const blobs = new BlobFolder(`${o.cacheDir}/blobs`);
	try {
		for (const image of open) {
			const ask = async () => (await fetchRoot(image, { run, registry, work, blobs, signal: o.signal })).digest;
			await lock.resolve(image, ask);
		}
	} finally {
		await close();
	}
}
