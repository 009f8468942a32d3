import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { type Facts, startAgent } from "../../agent/agent.ts";
import { type Status, slipwayErrors } from "../../agent/status/state.ts";
import { type ApplianceConfig, applianceConfig } from "../../bundle/appliance.ts";
import type { ErrorCode } from "../../bundle/errors.ts";
import { verifyBundle } from "../../bundle/verify.ts";
import { trustOf } from "../support/bundles.ts";
import type { Offer } from "./family.ts";
import type { Site } from "./site.ts";

const HOST: Facts = { kernel: { rootId: null, checkMedium: false } };

/** Codes of the refusal, in this process; empty when the offer was accepted. A box that refuses must show no name. */
export async function answer(site: Site, offer: Offer): Promise<readonly ErrorCode[]> {
	if (!("bundle" in offer)) return answerOfBox(applianceConfig.parse(await site.config(offer)), offer.facts);
	const { keys, ...role } = offer.trust ?? { keys: [site.signer] };
	const options = offer.onIndex === undefined ? {} : { onIndex: offer.onIndex };
	return verifyBundle(offer.bundle, trustOf(keys, role), options).then(
		() => [],
		(error: unknown) => slipwayErrors(error).map((e) => e.code),
	);
}

async function answerOfBox(config: ApplianceConfig, facts?: Facts): Promise<readonly ErrorCode[]> {
	const agent = await startAgent(config, { ...HOST, ...facts });
	try {
		await agent.settled;
		const { stage, urls } = agent.state.status;
		const get = (path: string, url: string | null) => fetch(new URL(path, url ?? ""));
		const [ready, catalog] = [await get("readyz", urls.status), await get("_catalog", urls.registry)];
		const body = await catalog.text();
		if (stage === "failed") {
			expect([ready.status, catalog.status]).toEqual([503, 503]);
			expect(body).not.toContain("a.example");
			await expect(readFile(join(config.store, "store", "catalog.json"))).rejects.toMatchObject({ code: "ENOENT" });
		} else {
			expect([stage, ready.status, catalog.status]).toEqual(["ready", 200, 200]);
		}
		return faults(agent.state.status);
	} finally {
		await agent.stop();
	}
}

/** Codes of everything that a status says is wrong. */
export function faults({ conditions }: Pick<Status, "conditions">): ErrorCode[] {
	return conditions.flatMap(({ ok, code }) => (ok || code === null ? [] : [code]));
}
