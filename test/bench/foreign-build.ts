import { rm } from "node:fs/promises";
import { join } from "node:path";
import { hostArch } from "../../builder/tools/host-arch.ts";
import { openCachingProxy } from "../support/caching-proxy.ts";
import { ourBuild, seconds, warm } from "./cold-build.ts";
import type { Figure } from "./main.ts";
import { measure } from "./measure.ts";

/** A cold build for the architecture that is not the host's against one for the host's own, of the same profile, one after the other. */
export async function foreignBuild(root: string): Promise<Figure[]> {
	const folder = join(root, ".cache", "bench", "foreign");
	await measure(join(root, "scripts/bootstrap"), ["foreign"]);
	const proxy = await openCachingProxy(join(root, ".cache", "bench", "archive"));
	const [other, own] = hostArch() === "amd64" ? ["arm64", "amd64"] : ["amd64", "arm64"];
	const build = (arch: string) => warm(proxy, () => ourBuild(root, folder, proxy.url, `palette-${arch}`));
	try {
		const foreign = await build(other!);
		const native = await build(own!);
		return [
			{
				name: `cold build of \`palette-${other}\` on ${own}, packages at hand`,
				ours: seconds(foreign),
				beside: `palette-${own}: ${seconds(native)}`,
				value: foreign.seconds / native.seconds,
				limit: 3,
				unit: "times",
			},
		];
	} finally {
		await proxy.close();
		await rm(folder, { recursive: true, force: true });
	}
}
