import { existsSync } from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type CachingProxy, openCachingProxy } from "../support/caching-proxy.ts";
import { copyProject } from "../support/project-copy.ts";
import { liveBuild } from "./live-build.ts";
import type { Figure } from "./main.ts";
import { type Measured, measure } from "./measure.ts";

/**
 * A cold build of `minimal-amd64` against live-build, one after the other. Nothing is kept from an earlier build but key, signatures,
 * packages and indices, and the latter both take from one cache on loopback; a run that found something missing there is done again. Ours holds
 * the agent with its Node.js as well, asks the archive what it has, and reads the ISO back.
 */
export async function coldBuild(root: string): Promise<Figure[]> {
	const folder = join(root, ".cache", "bench", "cold");
	const proxy = await openCachingProxy(join(root, ".cache", "bench", "archive"));
	try {
		await rm(folder, { recursive: true, force: true });
		// Each build removes the ISO of the one before.
		const first = await sha256(await ourBuild(root, folder, proxy.url));
		const ours = await warm(proxy, () => ourBuild(root, folder, proxy.url));
		const parts = await partsOf(root, ours.iso);
		const same = first === (await sha256(ours));
		const theirs = await warm(proxy, () => liveBuild(folder, proxy.url));
		return [
			{
				name: "cold build of `minimal-amd64`, packages at hand",
				ours: `${seconds(ours)}: ${stageSeconds(ours)}`,
				beside: `live-build: ${seconds(theirs)}`,
				value: ours.seconds / theirs.seconds,
				limit: 0.3,
				unit: "times",
			},
			{
				name: "its ISO, with the agent and Node.js",
				ours: `${mebibytes(ours.size)}: ${parts}`,
				beside: `live-build's, without: ${mebibytes(theirs.size)}`,
				value: ours.size / theirs.size,
				limit: 0.8,
				unit: "times",
			},
			{
				name: "the same cold build a second time, with its signatures",
				ours: same ? "the same ISO, byte for byte" : "another ISO",
				beside: `SHA-256 ${first.slice(0, 12)}…`,
				value: same ? 0 : 1,
				limit: 0,
				unit: "files",
			},
		];
	} finally {
		await proxy.close();
		await rm(folder, { recursive: true, force: true });
	}
}

type Built = Measured & { readonly iso: string };

/** Builds a profile in a copy of the project, which is made if it is not there, with nothing at hand but what the proxy keeps. */
export async function ourBuild(root: string, copy: string, proxy: string, profile = "minimal-amd64"): Promise<Built> {
	// An ECDSA signature is random: the first one made is the one for good, as the development key is.
	const kept = await readdir(join(copy, ".cache")).catch(() => []);
	const made = ["dist", ...kept.filter((name) => name !== "signatures").map((name) => join(".cache", name))];
	for (const path of made) await rm(join(copy, path), { recursive: true, force: true });
	if (!existsSync(copy)) await copyProject(root, copy);
	await measure("sync", []);
	const args = [`APT_PROXY=${proxy}`, join(copy, "slipway"), "build", profile, "--base", "debian-13", "--json"];
	// The copy has no commit to take the time from.
	const run = await measure("env", ["SOURCE_DATE_EPOCH=1790000000", ...args], copy);
	return { ...run, ...(JSON.parse(run.stdout) as { iso: string }) };
}

/** Runs it until all it asked for was at hand. */
export async function warm(
	proxy: CachingProxy,
	build: () => Promise<Built>,
): Promise<Built & { readonly size: number }> {
	for (let tries = 0; tries < 3; tries++) {
		const before = proxy.asked();
		const built = await build();
		if (proxy.asked() === before) return { ...built, size: (await stat(built.iso)).size };
	}
	throw new Error("The archive changes too often for a build from a warm cache.");
}

async function sha256({ iso }: Built): Promise<string> {
	return (await measure("sha256sum", [iso])).stdout.slice(0, 64);
}

export function seconds({ seconds, cpuSeconds }: Measured): string {
	return `${seconds.toFixed(0)} s (${cpuSeconds.toFixed(0)} s of CPU)`;
}

/** Where the seconds went, the longest first. */
function stageSeconds({ stdout }: Measured): string {
	const { stages } = JSON.parse(stdout) as { stages: { name: string; seconds: number }[] };
	const sorted = stages.toSorted((a, b) => b.seconds - a.seconds).filter((stage) => stage.seconds >= 1);
	return sorted.map((stage) => `${stage.name} ${stage.seconds.toFixed(0)}`).join(", ");
}

/** Where the bytes went, in MiB. */
async function partsOf(root: string, iso: string): Promise<string> {
	const { stdout } = await measure(join(root, "slipway"), ["size", iso, "--json"], root);
	const { parts } = JSON.parse(stdout) as { parts: { name: string; bytes: number }[] };
	const large = parts.filter(({ bytes }) => bytes >= 2 ** 20);
	return large.map(({ name, bytes }) => `${name.toLowerCase()} ${(bytes / 2 ** 20).toFixed(0)}`).join(", ");
}

function mebibytes(size: number): string {
	return `${(size / 2 ** 20).toFixed(0)} MiB`;
}
