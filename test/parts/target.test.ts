import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pushToTarget, type TargetPush } from "../../agent/target/push.ts";
import { run } from "../../builder/tools/run.ts";
import { sha256Hex } from "../../bundle/digest.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { type PushScene, pushScene } from "../support/push-scene.ts";
import { makeCertificates, startRegistry, type TestRegistry } from "../support/registry.ts";
import { tempDir } from "../support/temp.ts";

/** The push into another registry, against the distribution's docker-registry, judged by skopeo and by that registry's log. */

const MIB = 2 ** 20;
let registry: TestRegistry;
let scene: PushScene;

beforeAll(async () => {
	registry = await startRegistry(await tempDir());
	scene = await pushScene({ layer: 70 * MIB });
});
afterAll(() => registry?.stop());

/** With a path of its own for each test, so that they do not see each other's content. */
async function push(of: PushScene, path: string, config: object = {}, more: Partial<TargetPush> = {}): Promise<void> {
	await pushToTarget({
		config: {
			target: `https://${registry.host}/${path}`,
			...{ sparse: "refuse", credentials: await registry.authFile(), ca: registry.caFile, ...config },
		},
		...{ view: of.view, blobs: of.blobs, folder: join(of.folder, path), signal: new AbortController().signal, ...more },
	});
}

async function access(): Promise<string[]> {
	const certs = await tempDir();
	await writeFile(join(certs, "ca.crt"), await readFile(registry.caFile));
	return ["--authfile", await registry.authFile(), "--src-cert-dir", certs];
}

const targetName = (path: string, ref: string) => `${path}/${ref.replace(/^127\.0\.0\.1:/, "127.0.0.1__")}`;

test("skopeo finds every name with its digest and bytes, and a second push sends nothing", async () => {
	await push(scene, "all");
	for (const { ref, digest } of scene.names) {
		const out = await tempDir();
		const source = `docker://${registry.host}/${targetName("all", ref)}`;
		// skopeo copies no artifacts, and of an index only what it is asked for.
		if (ref.includes("@")) {
			expect((await registry.get(`/v2/${targetName("all", ref).replace("@", "/manifests/")}`)).status).toBe(200);
			continue;
		}
		await run("skopeo", ["copy", "--all", "--preserve-digests", ...(await access()), source, `dir:${out}`]);
		const manifest = await readFile(join(out, "manifest.json"));
		expect([ref, `sha256:${sha256Hex(manifest)}`]).toEqual([ref, digest]);
	}
	const before = (await registry.requests()).length;
	await push(scene, "all");
	const again = (await registry.requests()).slice(before);
	expect(new Set(again.map((line) => line.split(" ")[0]))).toEqual(new Set(["HEAD"]));
	expect(new Set(again).size).toBe(scene.names.length);
	// What the journal has forgotten is looked at, and still nothing is sent.
	await push(scene, "all", {}, { folder: await tempDir() });
	const looked = (await registry.requests()).slice(before + again.length);
	expect(looked.length).toBeGreaterThan(20);
	expect(looked.filter((line) => !/^(HEAD|GET) /.test(line))).toEqual([]);
});

test("referrers stand under the fall-back tag, beside those of others", async () => {
	const repo = "refs/docker.io/library/one";
	await registry.putBlob(repo, Buffer.from("{}"));
	const { ociManifest: OCI, ociIndex: INDEX, ociEmpty } = MEDIA_TYPE;
	const config = { mediaType: ociEmpty, digest: `sha256:${sha256Hex("{}")}`, size: 2 };
	const foreign = Buffer.from(
		JSON.stringify({ schemaVersion: 2, mediaType: OCI, artifactType: "text/other", config, layers: [] }),
	);
	const digest = await registry.putManifest(repo, foreign, OCI);
	const entry = { mediaType: OCI, digest, size: foreign.length, artifactType: "text/other" };
	const list = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [entry] }));
	await registry.putManifest(repo, list, INDEX, scene.subject.replace(":", "-"));
	await push(scene, "refs");
	expect((await registry.get(`/v2/${repo}/referrers/${scene.subject}`)).status).toBe(404);
	const { body } = await registry.get(`/v2/${repo}/manifests/${scene.subject.replace(":", "-")}`);
	expect(JSON.parse(body.toString()).manifests).toMatchObject([
		entry,
		{ digest: scene.signature, artifactType: "application/vnd.example.signature" },
	]);
	const { body: signature } = await registry.get(`/v2/${repo}/manifests/${scene.signature}`);
	expect(JSON.parse(signature.toString()).subject.digest).toBe(scene.subject);
});

test("an index that is not whole is refused before anything is kept, and its image taken with `child`", async () => {
	const own = await startRegistry(await tempDir());
	const keep = registry;
	registry = own;
	try {
		const sparse = await pushScene({ sparse: true });
		await expect(push(sparse, "sparse")).rejects.toMatchObject({
			code: "E_TARGET_SPARSE",
			message: expect.stringContaining("slipway.local/multi:2"),
		});
		expect(await readdir(own.data).catch(() => [])).toEqual([]);
		expect((await own.requests()).filter((line) => /^(POST|PATCH)/.test(line))).toEqual([]);
		await push(sparse, "sparse", { sparse: "child" });
		const { body } = await registry.get("/v2/sparse/slipway.local/multi/manifests/2");
		expect(JSON.parse(body.toString()).config.mediaType).toBe(MEDIA_TYPE.ociConfig);
	} finally {
		registry = keep;
		await own.stop();
	}
});

test.each([
	["a wrong password", async () => ({ credentials: await registry.authFile("wrong-canary") }), "E_REGISTRY_AUTH"],
	["no credentials", async () => ({ credentials: null }), "E_REGISTRY_AUTH"],
	["a file that is none", async () => ({ credentials: registry.caFile }), "E_REGISTRY_AUTH"],
	["another authority", async () => ({ ca: await makeCertificates(await tempDir()) }), "E_REGISTRY_UNREACHABLE"],
	["no authority", async () => ({ ca: null }), "E_REGISTRY_UNREACHABLE"],
])("%s is told, without a secret", async (_, config, code) => {
	const before = (await registry.requests()).length;
	const error = (await push(scene, "denied", await config()).catch((thrown: unknown) => thrown)) as Error;
	expect(error).toMatchObject({ code, next: expect.stringMatching(/registry\.(credentials|ca)/) });
	expect(JSON.stringify([error.message, (error as Error & { next: string }).next])).not.toMatch(/canary/);
	const sent = (await registry.requests()).slice(before);
	expect(sent.filter((line) => !line.startsWith("HEAD"))).toEqual([]);
});
