import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import type { Pull } from "../../agent/registry/audit.ts";
import { run } from "../../builder/tools/run.ts";
import { AgentProcess } from "../support/agent-process.ts";
import * as images from "../support/client-images.ts";
import { makeContent } from "../support/content.ts";
import { oras } from "../support/oras.ts";
import { tempDir } from "../support/temp.ts";

/** The clients that people use, from the distribution's packages, against the agent: each gets the bundle's own bytes. */

const { NGINX, MULTI, SPARSE, partsOf } = images;
const digestOf = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

let content: Awaited<ReturnType<typeof makeContent>>;
let put: images.ClientImages;
let agent: AgentProcess;
let policy: string;

beforeAll(async () => {
	const dir = await tempDir();
	const fill = async (blobDir: string) => {
		put = await images.putClientImages(blobDir);
		return put.names;
	};
	content = await makeContent(dir, [{ fill, input: { name: "clients" } }]);
	policy = join(dir, "policy.json");
	await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
	agent = await AgentProcess.prepare(content);
	agent.start();
	await agent.ready();
});
afterAll(() => agent.end("SIGTERM"));

const host = () => `127.0.0.1:${agent.registry}`;
const skopeo = (...args: string[]) => run("skopeo", ["--policy", policy, ...args], { timeout: 300_000 });
const copy = (...args: string[]) => skopeo("copy", "--preserve-digests", "--src-tls-verify=false", ...args);

/** Every file of an OCI layout or a `dir:` that is named after a digest holds that digest's bytes, and all `wanted` are there. */
async function expectBlobs(folder: string, wanted: readonly string[]): Promise<void> {
	const found = new Set<string>();
	for (const file of await readdir(folder)) {
		const bytes = await readFile(join(folder, file)).catch(() => Buffer.alloc(0));
		if (/^[0-9a-f]{64}$/.test(file)) expect(digestOf(bytes)).toBe(`sha256:${file}`);
		found.add(digestOf(bytes));
	}
	expect(wanted.filter((digest) => !found.has(digest))).toEqual([]);
}

test("skopeo: inspect and list-tags, copy of one image and of all architectures, sync of a repository", async () => {
	const inspected = await skopeo("inspect", "--tls-verify=false", `docker://${host()}/${NGINX}:1.27`);
	expect(JSON.parse(inspected.stdout)).toMatchObject({ Digest: put.nginx.digest, RepoTags: ["1.27", "latest"] });
	const raw = await skopeo("inspect", "--raw", "--tls-verify=false", `docker://${host()}/${MULTI}:1`);
	expect(digestOf(Buffer.from(raw.stdout))).toBe(put.multi.digest);

	const dir = await tempDir();
	await copy(`docker://${host()}/${NGINX}:1.27`, `dir:${dir}/one`);
	await expectBlobs(join(dir, "one"), partsOf(put.blobs, put.nginx.digest));
	await copy("--all", `docker://${host()}/${MULTI}:1`, `oci:${dir}/all:1`);
	await expectBlobs(join(dir, "all/blobs/sha256"), partsOf(put.blobs, put.multi.digest));
	await copy(`docker://${host()}/${NGINX}@${put.sbom.digest}`, `oci:${dir}/sbom:1`);
	await expectBlobs(join(dir, "sbom/blobs/sha256"), partsOf(put.blobs, put.sbom.digest));

	const [from, to] = [`${host()}/${NGINX}`, join(dir, "sync")];
	await mkdir(to);
	await skopeo("sync", "--src-tls-verify=false", "--src=docker", "--dest=dir", from, to);
	expect((await readdir(to)).sort()).toEqual(["nginx:1.27", "nginx:latest"]);
	await expectBlobs(join(to, "nginx:latest"), partsOf(put.blobs, put.nginx.digest));
});

test("skopeo: of a sparse index the architecture that is there; all of them is an error that names the manifest", async () => {
	const dir = await tempDir();
	const source = `docker://${host()}/${SPARSE}:1`;
	await copy("--override-arch=amd64", source, `dir:${dir}/amd64`);
	await expectBlobs(join(dir, "amd64"), partsOf(put.blobs, put.nginx.digest));
	await expect(copy("--all", source, `dir:${dir}/all`)).rejects.toThrow(/manifest.*(unknown|bundles do not carry it)/);
});

test("umoci unpacks what skopeo copied", async () => {
	const dir = await tempDir();
	await copy("--override-arch=arm64", `docker://${host()}/${MULTI}:1`, `oci:${dir}/layout:1`);
	await run("umoci", ["unpack", "--image", `${dir}/layout:1`, `${dir}/bundle`], { timeout: 300_000 });
	expect(await readFile(join(dir, "bundle/rootfs/app"), "utf8")).toBe(images.appText("multi", "arm64"));
});

test("buildah pulls an image by tag and one architecture of an index, and mounts it", async () => {
	const dir = await tempDir();
	await writeFile(join(dir, "registries.conf"), "");
	const storage = ["--root", `${dir}/root`, "--runroot", `${dir}/run`, "--storage-driver", "vfs"];
	const files = ["--registries-conf", `${dir}/registries.conf`];
	const buildah = async (...args: string[]) =>
		(await run("buildah", [...storage, ...files, ...args], { timeout: 300_000, env: { TMPDIR: dir } })).stdout.trim();
	const pull = ["pull", "--quiet", "--tls-verify=false", "--signature-policy", policy];
	for (const [name, digest, text] of [
		[`${NGINX}:1.27`, put.nginx.digest, images.appText("nginx", "amd64")],
		[`${MULTI}:1`, put.multi.digest, images.appText("multi", "amd64")],
	] as const) {
		const id = await buildah(...pull, "--arch=amd64", `docker://${host()}/${name}`);
		const listed = JSON.parse(await buildah("images", "--json", "--no-trunc")) as { id: string; digest: string }[];
		expect(listed.find((image) => image.id.endsWith(id.replace("sha256:", "")))?.digest).toBe(digest);
		const container = await buildah("from", "--pull-never", "--signature-policy", policy, id);
		const mounted = await buildah("mount", container);
		expect(await readFile(join(mounted, "app"), "utf8")).toBe(text);
		await buildah("rm", container);
	}
	await buildah("rmi", "--all", "--force");
});

test("oras discovers what refers to an image, fetches manifests and pulls the artifact", async () => {
	const dir = await tempDir();
	const image = `${host()}/${NGINX}:1.27`;
	const discovered = await oras(["discover", "--plain-http", "--format=json", image], dir);
	expect(discovered.stdout).toContain(put.sbom.digest);
	expect(discovered.stdout).toContain(images.SBOM_TYPE);
	const none = await oras(["discover", "--plain-http", "--format=json", "--artifact-type=other/type", image], dir);
	expect(none.stdout).not.toContain(put.sbom.digest);
	for (const [name, digest] of [
		[image, put.nginx.digest],
		[`${host()}/${MULTI}:1`, put.multi.digest],
		[`${host()}/${NGINX}@${put.sbom.digest}`, put.sbom.digest],
	] as const) {
		await oras(["manifest", "fetch", "--plain-http", "--output", "manifest.json", name], dir);
		expect(await readFile(join(dir, "manifest.json"))).toEqual(put.blobs.get(digest));
	}
	await oras(["pull", "--plain-http", `${host()}/${NGINX}@${put.sbom.digest}`, "--output", "pulled"], dir);
	expect(await readFile(join(dir, "pulled/sbom.json"), "utf8")).toBe(images.SBOM_TEXT);
	expect((await oras(["repo", "tags", "--plain-http", `${host()}/${NGINX}`], dir)).stdout).toBe("1.27\nlatest");
	const repositories = (await oras(["repo", "ls", "--plain-http", host()], dir)).stdout.split("\n");
	expect(repositories).toEqual([NGINX, MULTI, SPARSE]);
});

test("containerd pulls by the original names with the hosts.toml that the agent prints, over HTTP and TLS", async () => {
	const { ctr, blob } = await startContainerd();
	for (const expose of ["loopback", "lan"] as const) {
		await agent.end("SIGTERM");
		agent = await AgentProcess.prepare(content, {}, { expose });
		agent.start();
		const hosts = await containerdConfig();
		const platform = ["--snapshotter=native", "--platform=linux/amd64", "--hosts-dir", hosts];
		for (const [name, digest, present] of [
			[`${NGINX}:1.27`, put.nginx.digest, partsOf(put.blobs, put.nginx.digest)],
			[`${MULTI}:1`, put.multi.digest, [put.multi.digest]],
			[`${SPARSE}:1`, put.sparse.digest, [put.sparse.digest, ...partsOf(put.blobs, put.nginx.digest)]],
		] as const) {
			await ctr("images", "pull", ...platform, name);
			expect(await ctr("images", "ls", `name==${name}`)).toContain(digest);
			for (const part of present) expect(digestOf(await blob(part))).toBe(part);
			await ctr("images", "rm", "--sync", name);
		}
		// No other place is asked: what the box does not have is an error, not a look at the internet.
		await expect(ctr("images", "pull", ...platform, "docker.io/library/absent:1")).rejects.toThrow(/not found/);
	}
});

test("all of it is on record: who pulled what, in one sequence over the restarts", async () => {
	await agent.end("SIGTERM"); // what still waits is written
	const text = await readFile(join(content.dir, "store/audit/pulls.jsonl"), "utf8");
	const lines = text
		.trim()
		.split("\n")
		.map((line) => JSON.parse(line) as Pull & { seq: number });
	expect(lines.map((line) => line.seq)).toEqual(lines.map((_, i) => i + 1));
	for (const client of [/skopeo/, /buildah/i, /oras/, /containerd/]) {
		const pulls = lines.filter((line) => client.test(line.agent) && line.digest === put.nginx.digest);
		expect([client, pulls.length > 0]).toEqual([client, true]);
		for (const pull of pulls)
			expect(pull).toMatchObject({ name: expect.stringMatching(/nginx|sparse/), complete: true });
	}
	const absent = lines.filter((line) => line.name === "docker.io/library/absent");
	expect(absent).toMatchObject(absent.map(() => ({ status: 404, digest: null, reference: "1" })));
	expect(absent.length).toBeGreaterThan(0);
});

/** What the command writes once the registry serves; and what it prints is the same. */
async function containerdConfig(): Promise<string> {
	const dir = join(await tempDir(), "certs.d");
	const write = async () => (await agent.ask("containerd-config", "--output", dir)).stderr;
	await expect.poll(write, { timeout: 60_000, interval: 500 }).toBe("");
	const printed = (await agent.ask("containerd-config")).stdout;
	for (const original of ["docker.io", "quay.io"]) {
		expect(printed).toContain(`# /etc/containerd/certs.d/${original}/hosts.toml\n`);
		expect(printed).toContain((await readFile(join(dir, original, "hosts.toml"), "utf8")).trim());
	}
	return dir;
}

/** A containerd of the test's own: private folders and socket, nothing of the host's. */
async function startContainerd() {
	const dir = await tempDir();
	const config = join(dir, "config.toml");
	const grpc = `[grpc]\naddress = "${dir}/sock"\n[ttrpc]\naddress = "${dir}/sock.ttrpc"\n`;
	const disabled = 'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n';
	await writeFile(config, `version = 2\nroot = "${dir}/root"\nstate = "${dir}/state"\n${disabled}${grpc}`);
	const daemon = execa("containerd", ["--config", config], { reject: false, stdout: "ignore", stderr: "ignore" });
	onTestFinished(async () => {
		daemon.kill("SIGTERM");
		await daemon;
	});
	const ctr = async (...args: string[]) =>
		(await run("ctr", ["--address", `${dir}/sock`, "--namespace", "test", ...args], { timeout: 300_000 })).stdout;
	await expect.poll(() => ctr("version").then(() => "", String), { interval: 200 }).toBe("");
	const blobs = join(dir, "root/io.containerd.content.v1.content/blobs");
	return { ctr, blob: (digest: string) => readFile(join(blobs, digest.replace(":", "/"))) };
}
