import { spawn } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { REGISTRY, startAgent } from "./agent.ts";
import { buildBundle, freshDefinition } from "./bundle-build.ts";
import type { Figure } from "./main.ts";
import { measure, median } from "./measure.ts";

const RUNS = 5;
const SIZE = 2 ** 30;
/** What each of many clients takes of the blob, so that a run stays within seconds. */
const SHARE = 2 ** 26;
const CLIENTS = 50;
const NGINX_PORT = 15001;
/** Ours must reach this part of nginx's throughput. */
const LEAST = 0.7;

/**
 * Second and later pulls of a 1 GiB blob over loopback by a client that hashes what it gets, from the agent's store against
 * nginx with sendfile over the same file; alone, and with 50 clients at once. The runs alternate.
 */
export async function serveBlobs(root: string): Promise<Figure[]> {
	const definition = await freshDefinition(root, SIZE, 1, 1);
	const out = join(root, ".cache", "bench", "serve");
	await rm(out, { recursive: true, force: true });
	await mkdir(out, { recursive: true });
	const bundle = await buildBundle(root, definition, out);
	const digest = await layerOf(dirname(definition));
	const agent = await startAgent(root, bundle.folder, out);
	const nginx = await startNginx(out, join(out, "store", "store", "blobs", "sha256", digest.slice(0, 2)));
	try {
		const ours = `${REGISTRY}/bench.local/random/image-0/blobs/sha256:${digest}`;
		const beside = `http://127.0.0.1:${NGINX_PORT}/${digest}`;
		await pull(ours, digest); // the first pull after a start also checks the blob
		const alone = await compare(
			() => pull(ours, digest),
			() => pull(beside, digest),
		);
		const many = await compare(
			() => pullShares(ours),
			() => pullShares(beside),
		);
		const figure = (name: string, bytes: number, { ours, beside }: { ours: number; beside: number }) => ({
			...{ name, ours: rate(bytes, ours), beside: `nginx: ${rate(bytes, beside)}` },
			...{ value: ours / beside, limit: Math.round(100 / LEAST) / 100, unit: "times" as const },
		});
		return [
			figure("pull of a 1 GiB blob, nginx's rate over ours", SIZE, alone),
			figure(`the same, ${CLIENTS} clients at once`, SHARE * CLIENTS, many),
		];
	} finally {
		await nginx.stop();
		await agent.stop();
		await rm(out, { recursive: true, force: true });
	}
}

async function compare(ours: () => Promise<number>, beside: () => Promise<number>) {
	const seconds = { ours: [] as number[], beside: [] as number[] };
	for (let i = 0; i < RUNS; i++) {
		seconds.ours.push(await ours());
		seconds.beside.push(await beside());
	}
	return { ours: median(seconds.ours), beside: median(seconds.beside) };
}

/** Seconds in which one client got and hashed the whole blob. */
async function pull(url: string, digest: string): Promise<number> {
	const { seconds, stdout } = await measure("sh", ["-c", `curl -sf ${url} | openssl dgst -sha256 -r`]);
	if (!stdout.startsWith(digest)) throw new Error(`${url} gave wrong bytes`);
	return seconds;
}

/** Seconds in which all clients got and hashed their shares, all of the same bytes. */
async function pullShares(url: string): Promise<number> {
	const start = process.hrtime.bigint();
	const one = `curl -sf -r 0-${SHARE - 1} ${url} | openssl dgst -sha256 -r`;
	const results = await Promise.all(Array.from({ length: CLIENTS }, () => measure("sh", ["-c", one])));
	const seconds = Number(process.hrtime.bigint() - start) / 1e9;
	if (new Set(results.map((r) => r.stdout)).size !== 1) throw new Error(`${url} gave different bytes`);
	return seconds;
}

function rate(bytes: number, seconds: number): string {
	return `${(bytes / seconds / 1e6).toFixed(0)} MB/s`;
}

/** The digest (hex) of the one layer in the layout beside a definition. */
async function layerOf(folder: string): Promise<string> {
	const blob = async (digest: string) =>
		JSON.parse(await readFile(join(folder, "layout", "blobs", digest.replace(":", "/")), "utf8"));
	const index = JSON.parse(await readFile(join(folder, "layout", "index.json"), "utf8"));
	return (await blob(index.manifests[0].digest)).layers[0].digest.slice("sha256:".length);
}

/** nginx in the foreground with a configuration of its own, over one folder, the way it is fastest. */
async function startNginx(out: string, folder: string): Promise<{ stop: () => Promise<void> }> {
	const file = join(out, "nginx.conf");
	const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
		.map((n) => `${n}_temp_path ${out}/nginx;`)
		.join(" ");
	await writeFile(
		file,
		`daemon off; user root; worker_processes auto; pid ${out}/nginx.pid; error_log stderr;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; ${temp} server { listen 127.0.0.1:${NGINX_PORT}; root ${folder}; } }
`,
	);
	const nginx = spawn("nginx", ["-c", file, "-e", "stderr"], { stdio: ["ignore", "ignore", "inherit"] });
	const ended = new Promise<void>((resolve, reject) => {
		nginx.once("error", reject);
		nginx.once("close", () => resolve());
	});
	for (let tries = 0; ; tries++) {
		if (await fetch(`http://127.0.0.1:${NGINX_PORT}/`).catch(() => undefined)) break;
		if (tries > 200 || nginx.exitCode !== null) throw new Error("nginx did not start");
		await new Promise((resolve) => setTimeout(resolve, 25));
	}
	return {
		stop: async () => {
			nginx.kill("SIGTERM");
			await ended;
		},
	};
}
