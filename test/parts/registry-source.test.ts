import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { BlobFolder } from "../../builder/oci/blob-folder.ts";
import { FileTree } from "../../builder/oci/file-tree.ts";
import { writeArtifact, writeImage } from "../../builder/oci/image.ts";
import { writeLayer } from "../../builder/oci/layer.ts";
import { loadBundleDefinition } from "../../builder/packs/definition.ts";
import { registryAccess } from "../../builder/packs/registry/access.ts";
import { RegistryClient } from "../../builder/packs/registry/client.ts";
import { buildReleaseSet } from "../../builder/packs/release-set.ts";
import { loadBase } from "../../builder/profile/base.ts";
import { run as plainRun } from "../../builder/tools/run.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { verifyBundle } from "../../bundle/verify.ts";
import { testSigner, trustOf } from "../support/bundles.ts";
import { definitionYaml, folderWith, projectRoot } from "../support/packs.ts";
import { makeCertificates, startRegistry, type TestRegistry } from "../support/registry.ts";

/**
 * The pack source `registry` against the distribution's own docker-registry, on loopback with TLS and a password. That
 * registry has no referrers API, so the fallback tag is what is met here.
 */

const REPO = "team/app";
let registry: TestRegistry;
let pushed: Awaited<ReturnType<typeof push>>;

beforeAll(async () => {
	registry = await startRegistry(await folderWith());
	pushed = await push("first");
});
afterAll(() => registry.stop());

/** Pushes a multi-arch index under the tag 1.0, with an SBOM that refers to it and a cosign signature of its amd64 image. */
async function push(seed: string) {
	const blobs = new BlobFolder(await folderWith());
	const image = async (architecture: string) => {
		const tree = new FileTree();
		tree.set("app", { type: "file", mode: 0o755, uid: 0, gid: 0, content: Buffer.from(`${seed} ${architecture}`) });
		const layer = await writeLayer(blobs, tree.entries(), 0);
		const config = { architecture, created: "2026-01-01T00:00:00Z", user: "1", entrypoint: ["/app"], cmd: [], env: {} };
		return await writeImage(blobs, layer, {
			...config,
			ports: [],
			volumes: [],
			workingDir: "/",
			stopSignal: undefined,
			labels: {},
			comment: "",
		});
	};
	const [amd64, arm64] = [await image("amd64"), await image("arm64")];
	// Written by hand with blanks and a newline at the end: bytes that nothing may tidy up.
	const child = (d: typeof amd64, architecture: string) => ({ ...d, platform: { os: "linux", architecture } });
	const manifests = [child(amd64, "amd64"), child(arm64, "arm64")];
	const index = Buffer.from(
		`${JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }, null, 3)}\n`,
	);
	const subject = { mediaType: MEDIA_TYPE.ociIndex, ...(await blobs.put(index)) };
	const text = await blobs.put(Buffer.from(`sbom of ${seed}`));
	const sbom = await writeArtifact(blobs, {
		artifactType: "text/spdx",
		layers: [{ mediaType: "text/spdx", ...text }],
		subject,
	});
	const signature = await writeArtifact(blobs, {
		layers: [{ mediaType: "application/vnd.dev.cosign.simplesigning.v1+json", ...text }],
	});
	for (const manifest of [amd64, arm64, sbom, signature]) {
		const bytes = await blobs.read(manifest.digest);
		const { config, layers } = JSON.parse(bytes.toString());
		for (const { digest } of [config, ...layers]) await registry.putBlob(REPO, await blobs.read(digest));
		await registry.putManifest(REPO, bytes, manifest.mediaType);
	}
	await registry.putManifest(REPO, index, MEDIA_TYPE.ociIndex, "1.0");
	const list = Buffer.from(
		JSON.stringify({
			schemaVersion: 2,
			mediaType: MEDIA_TYPE.ociIndex,
			manifests: [{ ...sbom, artifactType: "text/spdx" }],
		}),
	);
	await registry.putManifest(REPO, list, MEDIA_TYPE.ociIndex, subject.digest.replace(":", "-"));
	const cosign = `${amd64.digest.replace(":", "-")}.sig`;
	await registry.putManifest(REPO, await blobs.read(signature.digest), signature.mediaType, cosign);
	return { index, digest: subject.digest, amd64, arm64, sbom, cosign };
}

interface Scene {
	readonly folder: string;
	/** Everything that was printed or logged. */
	output(): Promise<string>;
	build(more?: {
		password?: string;
		ca?: string;
		updateLock?: boolean;
		auth?: boolean;
	}): ReturnType<typeof buildReleaseSet>;
}

async function scene(packs: string, signer = testSigner()): Promise<Scene> {
	const folder = await folderWith({ "test.yaml": definitionYaml(packs) });
	const log = join(folder, "log");
	return {
		folder,
		output: async () => (await plainRun("grep", ["-r", "-a", "", folder], { accept: [0, 1] })).stdout,
		build: async ({ password, ca = registry.caFile, updateLock = false, auth = true } = {}) => {
			const env = { REGISTRY_CA: ca, ...(auth ? { REGISTRY_AUTH_FILE: await registry.authFile(password) } : {}) };
			const access = await registryAccess(env);
			return await buildReleaseSet(
				{
					root: projectRoot,
					definition: await loadBundleDefinition(projectRoot, join(folder, "test.yaml")),
					base: await loadBase(projectRoot, "debian-13"),
					...{
						arch: "amd64",
						fips: false,
						versionSuffix: "",
						epoch: 1_790_000_000,
						signer,
						refresh: false,
						updateLock,
					},
					cacheDir: join(folder, "cache"),
					...{ mirror: undefined, keyring: undefined, registry: access },
					run: (file, args, options) => plainRun(file, args, { log, ...options }),
				},
				join(folder, "dist"),
				new AbortController().signal,
			);
		},
	};
}

const pack = (more = "") => `- { name: app, source: registry, image: "${registry.host}/${REPO}:1.0"${more} }`;
const lockOf = async (folder: string) => parse(await readFile(join(folder, "test.lock.yaml"), "utf8")).images;

test("pulls by digest, byte for byte, with what refers to it, and locks the tag", async () => {
	const signer = testSigner();
	const { folder, build, output } = await scene(pack(), signer);
	const { bundle } = await build();
	const name = `${registry.host}/${REPO}`;
	expect(bundle.index.names.map(({ ref, digest, absent }) => ({ ref, digest, absent }))).toEqual(
		[
			{ ref: `${name}:1.0`, digest: pushed.digest, absent: [pushed.arm64.digest] },
			{ ref: `${name}@${pushed.sbom.digest}`, digest: pushed.sbom.digest, absent: [] },
			{ ref: `${name}:${pushed.cosign}`, digest: expect.stringMatching(/^sha256:/), absent: [] },
		].sort((a, b) => (a.ref < b.ref ? -1 : 1)),
	);
	expect(bundle.index.names.find(({ ref }) => ref === `${name}:1.0`)?.platforms).toEqual(["linux/amd64"]);
	expect(await lockOf(folder)).toEqual({ [`${name}:1.0`]: pushed.digest });
	// In the bundle, as any tool sees it, the index has its own bytes, blanks and all.
	await verifyBundle(bundle.path, trustOf(signer));
	await plainRun("zstd", ["-dq", bundle.path, "-o", join(folder, "layout.tar")]);
	await plainRun("tar", ["-xOf", join(folder, "layout.tar"), `blobs/${pushed.digest.replace(":", "/")}`], {
		stdoutFile: join(folder, "index"),
	});
	expect(await readFile(join(folder, "index"))).toEqual(pushed.index);
	// Two programs got the password; none of them, and nothing of ours, wrote it down.
	const written = await output();
	expect(written).toContain("skopeo");
	for (const secret of [registry.password, Buffer.from(`${registry.user}:${registry.password}`).toString("base64")]) {
		expect(written).not.toContain(secret);
	}
});

test("all platforms, and another name", async () => {
	const { build } = await scene(pack(", platforms: all, referrers: false, as: example.com/other/name:2"));
	const { names } = (await build()).bundle.index;
	expect(names).toHaveLength(1);
	expect(names[0]).toMatchObject({
		ref: "example.com/other/name:2",
		absent: [],
		platforms: ["linux/amd64", "linux/arm64"],
	});
});

test("a platform that the index does not have is told", async () => {
	const { build } = await scene(pack(", platforms: [linux/s390x]"));
	await expect(build()).rejects.toMatchObject({ code: "E_PACK", message: expect.stringContaining("platforms") });
});

test("when the tag moves, the lock decides until it is updated", async () => {
	const { folder, build } = await scene(pack());
	const before = await lockTo(folder, build);
	const moved = await push("second");
	expect(moved.digest).not.toBe(before);
	await plainRun("rm", ["-r", join(folder, "cache")]);
	expect((await build()).bundle.index.names.find(({ ref }) => ref.endsWith(":1.0"))?.digest).toBe(before);
	expect((await build({ updateLock: true })).bundle.index.names.find(({ ref }) => ref.endsWith(":1.0"))?.digest).toBe(
		moved.digest,
	);
	expect(Object.values(await lockOf(folder))).toEqual([moved.digest]);
});

async function lockTo(folder: string, build: Scene["build"]): Promise<string> {
	await build();
	return Object.values(await lockOf(folder))[0] as string;
}

test.each([
	["a wrong password", { password: "wrong-password" }, "E_REGISTRY_AUTH"],
	["no password", { auth: false }, "E_REGISTRY_AUTH"],
	["a CA that is not the registry's", { ca: "other" }, "E_REGISTRY_UNREACHABLE"],
])("%s: %o gives %s, names what to set, and leaves nothing", async (_, how, code) => {
	const { folder, build, output } = await scene(pack());
	const other = "ca" in how ? { ca: await makeCertificates(await folderWith()) } : {};
	const error = await build({ ...how, ...other }).catch((thrown: unknown) => thrown);
	expect(error).toMatchObject({ code, next: expect.stringMatching(/REGISTRY_(AUTH_FILE|CA)/) });
	expect((error as Error).message).not.toContain("wrong-password");
	expect(await output()).not.toContain("wrong-password");
	const { stdout } = await plainRun("find", [
		folder,
		"-name",
		"build-*",
		"-o",
		"-name",
		"*.lock.yaml",
		"-o",
		"-path",
		"*/dist/*",
		"-o",
		"-name",
		"*.tmp*",
	]);
	expect(stdout).toBe("");
});

test("a tag that is not there, and a registry that is down", async () => {
	const missing = await scene(`- { name: app, source: registry, image: "${registry.host}/${REPO}:9.9" }`);
	await expect(missing.build()).rejects.toMatchObject({ code: "E_PACK" });
	const down = await scene('- { name: app, source: registry, image: "127.0.0.1:1/team/app:1" }');
	await expect(down.build()).rejects.toMatchObject({ code: "E_REGISTRY_UNREACHABLE" });
});

test("the client gives its password to nobody that a redirect leads to, and a token only to whom it is for", async () => {
	const folder = await folderWith();
	const caFile = await makeCertificates(folder);
	const tls = { key: await readFile(join(folder, "tls.key")), cert: await readFile(join(folder, "tls.pem")) };
	const seen: string[] = [];
	const listen = async (handler: Parameters<typeof createServer>[1]) => {
		const server = createServer(tls, handler);
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		return { server, host: `127.0.0.1:${(server.address() as { port: number }).port}` };
	};
	const servers: Server[] = [];
	try {
		const storage = await listen((request, response) => {
			seen.push(`storage ${request.headers.authorization ?? "none"}`);
			response.end("blob");
		});
		const main = await listen((request, response) => {
			const { url, headers } = request;
			seen.push(`${url?.split("?")[0]} ${headers.authorization?.split(" ")[0] ?? "none"}`);
			if (url?.startsWith("/token")) return response.end(JSON.stringify({ token: "t0ken" }));
			if (headers.authorization !== "Bearer t0ken") {
				const challenge = `Bearer realm="https://${headers.host}/token",service="s",scope="repository:a/b:pull"`;
				return response.writeHead(401, { "www-authenticate": challenge }).end();
			}
			return response.writeHead(307, { location: `https://${storage.host}/x` }).end();
		});
		servers.push(storage.server, main.server);
		const auth = join(folder, "auth.json");
		await plainRun("tee", [auth], {
			input: JSON.stringify({ auths: { [main.host]: { auth: Buffer.from("u:p").toString("base64") } } }),
		});
		const access = await registryAccess({ REGISTRY_AUTH_FILE: auth, REGISTRY_CA: caFile });
		const client = await RegistryClient.open(main.host, access);
		const answer = await client.document("a/b/blobs/x");
		expect(answer?.bytes.toString()).toBe("blob");
		expect(seen).toEqual(["/v2/a/b/blobs/x none", "/token Basic", "/v2/a/b/blobs/x Bearer", "storage none"]);
	} finally {
		for (const server of servers) server.close();
	}
});
