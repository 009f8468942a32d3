import type { BoxAgent } from "./box-agent.ts";
import type { BenchContent } from "./fixture.ts";
import type { Figure } from "./main.ts";
import { median } from "./measure.ts";

const RUNS = 3;

interface Manifest {
	readonly layers: readonly { readonly digest: string; readonly size: number }[];
}

/** Path of the manifest of the n-th name, counted round. */
export function manifestOf({ names }: BenchContent, n: number): string {
	const { ref } = names[n % names.length]!;
	const colon = ref.lastIndexOf(":");
	return `/v2/${ref.slice(0, colon)}/manifests/${ref.slice(colon + 1)}`;
}

/** Paths of the layers of the n-th name, from its manifest. */
export async function layersOf(agent: BoxAgent, content: BenchContent, n: number): Promise<string[]> {
	const path = manifestOf(content, n);
	const manifest = JSON.parse((await agent.ask(path)).body.toString()) as Manifest;
	return manifest.layers.map(({ digest }) => `${path.slice(0, path.indexOf("/manifests/"))}/blobs/${digest}`);
}

/** From exec, with nothing stored, to the end of the first manifest and of its first layer. */
export async function firstPull(agent: BoxAgent, content: BenchContent, size: string): Promise<Figure> {
	const [manifest, layer]: number[][] = [[], []];
	let bytes = 0;
	for (let i = 0; i < RUNS; i++) {
		await agent.reset();
		agent.start();
		await agent.until(manifestOf(content, 7));
		manifest!.push(agent.elapsed());
		bytes = await agent.until((await layersOf(agent, content, 7))[0]!);
		layer!.push(agent.elapsed());
	}
	await agent.until("/readyz");
	return {
		...{ name: `agent start to first manifest and layer, ${size}`, unit: "s" },
		ours: `manifest ${median(manifest!).toFixed(2)} s, layer ${median(layer!).toFixed(2)} s`,
		...{ beside: `a layer of ${(bytes / 2 ** 20).toFixed(0)} MiB`, value: median(layer!), limit: 1 },
	};
}
