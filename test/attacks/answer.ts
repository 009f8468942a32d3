import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { expect, vi } from "vitest";
import { type Facts, startAgent } from "../../agent/agent.ts";
import { type State, type Status, slipwayErrors } from "../../agent/status/state.ts";
import { type ApplianceConfig, applianceConfig } from "../../bundle/appliance.ts";
import type { ErrorCode } from "../../bundle/errors.ts";
import { verifyBundle } from "../../bundle/verify.ts";
import { trustOf } from "../support/bundles.ts";
import type { Offer, Serve, TrustChoice } from "./family.ts";
import type { Site } from "./site.ts";

const HOST: Facts = { kernel: { rootId: null, checkMedium: false } };

/** Codes of the refusal, in this process; empty when the offer was accepted. A box that refuses must show no name. */
export async function answer(site: Site, offer: Offer, serve: Serve): Promise<readonly ErrorCode[]> {
	if ("content" in offer) return answerOfBox(applianceConfig.parse(await site.config(offer, serve)), offer);
	const { keys, root: _, ...role }: TrustChoice = offer.trust ?? { keys: [site.signer] };
	const options = offer.onIndex === undefined ? {} : { onIndex: offer.onIndex };
	return verifyBundle(offer.bundle, trustOf(keys, role), options).then(() => [], codes);
}

async function answerOfBox(config: ApplianceConfig, offer: Extract<Offer, { content: string }>) {
	const clock = [...(offer.clock ?? [])];
	const tick = () => {
		const now = clock.shift();
		if (now !== undefined) vi.setSystemTime(now);
	};
	if (clock.length > 0) vi.useFakeTimers({ toFake: ["Date"] });
	tick();
	try {
		const agent = await startAgent(config, { ...HOST, ...offer.facts });
		try {
			agent.state.subscribe(tick);
			await agent.settled;
			await checkedWhole(agent.state);
			await checkSurfaces(config.store, agent.state.status, offer.authentic === true);
			return faults(agent.state.status);
		} finally {
			await agent.stop();
		}
	} catch (error) {
		if (error instanceof Error && error.name === "AssertionError") throw error;
		return codes(error);
	} finally {
		vi.useRealTimers();
		await offer.after?.();
	}
}

const codes = (error: unknown): ErrorCode[] => slipwayErrors(error).map((e) => e.code);

/** What is served in place is verified as a whole in the background. */
async function checkedWhole(state: State): Promise<void> {
	while (state.status.conditions.some((c) => c.code === "W_WHOLE_FILE")) await setImmediate();
}

/** What a stranger sees: everything, or no name. A box with a fault of its own may show `authentic` content. */
export async function checkSurfaces(store: string, { stage, urls }: Status, authentic: boolean): Promise<void> {
	const get = (path: string, url: string | null) => fetch(new URL(path, url ?? ""));
	const [ready, catalog] = [await get("readyz", urls.status), await get("_catalog", urls.registry)];
	const body = await catalog.text();
	if (stage === "degraded" && authentic) return expect(catalog.status).toBe(200);
	if (stage !== "failed") return expect([stage, ready.status, catalog.status]).toEqual(["ready", 200, 200]);
	expect([ready.status, catalog.status]).toEqual([503, 503]);
	expect(body).not.toContain("a.example");
	if (!authentic) await expect(readFile(join(store, "store", "catalog.json"))).rejects.toThrow();
}

/** Codes of everything that a status says is wrong. */
export function faults({ conditions }: Pick<Status, "conditions">): ErrorCode[] {
	return conditions.flatMap(({ ok, code }) => (ok || code === null ? [] : [code]));
}
