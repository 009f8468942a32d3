import { spawn } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BenchContent } from "./fixture.ts";
import { measure } from "./measure.ts";

const HOST = "127.0.0.1:15012";

/**
 * Seconds for the way that the vendor documents: `openssl dgst -verify`, `zstd -dc | tar x`, and one `skopeo copy` after the
 * other into the distribution's `docker-registry` on loopback.
 */
export async function documentedWay({ bundle, names, publicKey }: BenchContent, dir: string): Promise<number> {
	const layout = join(dir, "layout");
	await rm(dir, { recursive: true, force: true });
	await mkdir(layout, { recursive: true });
	const config = join(dir, "registry.yml");
	const storage = `storage: { filesystem: { rootdirectory: ${join(dir, "registry")} } }`;
	await writeFile(config, `version: 0.1\nlog: { level: error }\n${storage}\nhttp: { addr: "${HOST}" }\n`);
	const registry = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
	const ended = new Promise((resolve) => registry.once("close", resolve));
	try {
		for (let tries = 0; !(await fetch(`http://${HOST}/v2/`).catch(() => undefined))?.ok; tries++) {
			if (tries > 100) throw new Error("docker-registry did not start");
			await new Promise((resolve) => setTimeout(resolve, 100));
		}
		await measure("sync", []);
		const verify = ["dgst", "-sha256", "-verify", publicKey, "-signature", bundle.sigPath, bundle.path];
		let seconds = (await measure("openssl", verify)).seconds;
		const unpack = `zstd -dc "$1" | tar x -C "$2"`;
		seconds += (await measure("sh", ["-c", unpack, "sh", bundle.path, layout])).seconds;
		for (const { ref } of names) {
			const path = ref.slice(ref.indexOf("/") + 1);
			const copy = ["copy", "--quiet", "--dest-tls-verify=false", `oci:${layout}:${ref}`, `docker://${HOST}/${path}`];
			seconds += (await measure("skopeo", ["--insecure-policy", ...copy])).seconds;
		}
		return seconds;
	} finally {
		registry.kill("SIGTERM");
		await ended;
		await rm(dir, { recursive: true, force: true });
	}
}
