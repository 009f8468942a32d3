import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { ApplianceConfig } from "../../bundle/appliance.ts";
import { SlipwayError } from "../../bundle/errors.ts";
import { lockStore } from "../store/lock.ts";
import { Store } from "../store/store.ts";

/**
 * Works on the store of an agent that does not run, under its lock. Root takes the rights of the store's owner for it, so that
 * nothing is made there that the agent may not touch. Errors: E_IO (no store), E_BUSY, those of `work`.
 */
export async function withStoppedStore<T>(config: ApplianceConfig, work: (store: Store) => Promise<T>): Promise<T> {
	const folder = join(config.store, "store");
	const owner = await stat(folder).catch((cause) => {
		throw new SlipwayError("E_IO", `There is no store in ${config.store}.`, { cause, next: "Correct `store`." });
	});
	const restore = become(owner);
	try {
		const lock = await lockStore(config.store);
		try {
			return await work(await Store.open(folder));
		} finally {
			await new Promise((resolve) => lock.close(resolve));
		}
	} finally {
		restore();
	}
}

function become({ uid, gid }: { uid: number; gid: number }): () => void {
	if (process.geteuid?.() !== 0 || uid === 0) return () => undefined;
	process.setegid!(gid);
	process.seteuid!(uid);
	return () => {
		process.seteuid!(0);
		process.setegid!(0);
	};
}
