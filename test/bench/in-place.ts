import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { BoxAgent } from "./box-agent.ts";
import { type BenchContent, makeBenchContent } from "./fixture.ts";
import type { Figure } from "./main.ts";
import { firstPull, layersOf } from "./pull.ts";

const CLIENTS = 20;
const SECONDS = 20;

/** A 20 GiB bundle that is served in place: the first pull, and memory with 20 clients that pull layers. */
export async function largeInPlace(root: string): Promise<Figure[]> {
	const dir = join(root, ".cache", "bench", "in-place");
	await rm(dir, { recursive: true, force: true });
	try {
		const content = await makeBenchContent(dir, 20 * 2 ** 30, false);
		const agent = await BoxAgent.prepare(root, join(dir, "box"), content, "in-place");
		try {
			return [await firstPull(agent, content, "20 GiB in place"), await manyClients(agent, content)];
		} finally {
			await agent.end();
		}
	} finally {
		await rm(dir, { recursive: true, force: true });
	}
}

async function manyClients(agent: BoxAgent, content: BenchContent): Promise<Figure> {
	await agent.reset();
	agent.start();
	await agent.until("/readyz");
	let bytes = 0;
	let going = true;
	const pull = async (client: number) => {
		const layers = await layersOf(agent, content, client);
		for (let n = client; going; n++) {
			const answer = await agent.ask(layers[n % layers.length]!);
			if (answer.status !== 200) throw new Error(`a layer was answered with ${answer.status}`);
			bytes += answer.bytes;
		}
	};
	const clients = Promise.all(Array.from({ length: CLIENTS }, (_, client) => pull(client)));
	await Promise.race([clients, setTimeout(SECONDS * 1000)]);
	going = false;
	await clients;
	const value = await agent.peakMiB();
	return {
		...{ name: "peak memory, 20 GiB served in place", ours: `${value.toFixed(0)} MiB`, unit: "MiB" },
		...{ beside: `${CLIENTS} clients pulled ${(bytes / 2 ** 30).toFixed(1)} GiB`, value, limit: 160 },
	};
}
