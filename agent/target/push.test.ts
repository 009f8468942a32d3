import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { SlipwayError } from "../../bundle/errors.ts";
import { MEDIA_TYPE } from "../../bundle/oci.ts";
import { FakeTarget, type Fault } from "../../test/support/fake-target.ts";
import { type PushScene, pushScene } from "../../test/support/push-scene.ts";
import { tempDir } from "../../test/support/temp.ts";
import { pushToTarget, type TargetPush } from "./push.ts";

const PACE = { tries: 4, firstMs: 1, maxMs: 5, chunk: 2000 };
const ONE = "mirror/docker.io/library/one";
const targets: FakeTarget[] = [];

afterEach(async () => {
	for (const target of targets.splice(0)) await target.stop();
});

/** A target that fails the test when a tag is put before all that it leads to. */
async function target(): Promise<{ fake: FakeTarget; url: string }> {
	const fake = new FakeTarget();
	fake.onTag = (repository, tag, digest) => {
		const repo = fake.repository(repository);
		const manifest = repo.manifests.get(digest);
		if (/^sha256-/.test(tag)) return;
		if (manifest === undefined || (!fake.sparse && fake.missing(repository, digest).length > 0))
			early.push(`${repository}:${tag}`);
	};
	const early: string[] = [];
	incomplete.set(fake, early);
	targets.push(fake);
	return { fake, url: await fake.start() };
}
const incomplete = new WeakMap<FakeTarget, string[]>();

function push(scene: PushScene, url: string, more: Partial<TargetPush> = {}, config: object = {}): Promise<void> {
	return pushToTarget({
		config: { target: `${url}/mirror`, sparse: "refuse", credentials: null, ca: null, ...config },
		...{ view: scene.view, blobs: scene.blobs, folder: join(scene.folder, "state"), pace: PACE },
		signal: new AbortController().signal,
		...more,
	});
}

/** Everything that must be there in the end. */
function expectWhole(fake: FakeTarget, scene: PushScene): void {
	expect(incomplete.get(fake)).toEqual([]);
	for (const { ref, digest } of scene.names) {
		const [name, tag] = ref.includes("@")
			? ref.split("@")
			: [ref.slice(0, ref.lastIndexOf(":")), ref.split(":").at(-1)];
		const repository = `mirror/${name!.replace(":", "__")}`;
		if (!ref.includes("@")) expect([ref, fake.repository(repository).tags.get(tag!)]).toEqual([ref, digest]);
		expect(fake.missing(repository, digest)).toEqual([]);
	}
	const list = fake.repository(ONE).manifests.get(fake.repository(ONE).tags.get(scene.subject.replace(":", "-"))!);
	const { manifests } = JSON.parse(list!.bytes.toString());
	expect(manifests).toEqual([
		{
			mediaType: MEDIA_TYPE.ociManifest,
			digest: scene.signature,
			size: expect.any(Number),
			artifactType: "application/vnd.example.signature",
			annotations: { "org.example.key": "value" },
		},
	]);
}

const journalOf = async (scene: PushScene) =>
	JSON.parse(await readFile(join(scene.folder, "state/target.json"), "utf8"));

test("everything gets there once, tags last; the second time only the names are asked for", async () => {
	const { fake, url } = await target();
	const scene = await pushScene();
	const seen: number[] = [];
	await push(scene, url, { onProgress: ({ bytesDone, bytesTotal }) => seen.push(bytesTotal - bytesDone) });
	expectWhole(fake, scene);
	expect([seen[0]! > 5000, seen.at(-1)]).toEqual([true, 0]);
	// The layers that two repositories share were sent to one and mounted to the other.
	expect(fake.requests.filter((line) => line.includes("mount="))).toHaveLength(2);
	const firstTag = fake.requests.findIndex((line) => /^PUT .*\/manifests\/(1|2|1\.0|latest)$/.test(line));
	expect(fake.requests.slice(firstTag).filter((line) => /^(POST|PATCH|PUT .*\/blobs|PUT .*sha256)/.test(line))).toEqual(
		[],
	);
	expect(await journalOf(scene)).toMatchObject({ format: 1, target: `${url}/mirror`, step: "done", tags: {} });

	fake.requests.length = 0;
	await push(scene, url);
	expect(new Set(fake.requests.map((line) => line.split(" ")[0]))).toEqual(new Set(["HEAD"]));
	expect(fake.requests).toHaveLength(scene.names.length);

	// A tag that somebody moved, and content that somebody removed, come back.
	fake.repository(ONE).tags.delete("latest");
	const twin = fake.repository("mirror/127.0.0.1__5000/team/twin");
	twin.blobs.clear();
	// As a power cut leaves it in a registry that does not sync.
	const [layer, bytes] = [...fake.repository(ONE).blobs].find(([, blob]) => blob.length === 5000)!;
	fake.repository(ONE).blobs.set(layer, Buffer.alloc(0));
	await push(scene, url);
	expectWhole(fake, scene);
	expect(fake.repository(ONE).blobs.get(layer)).toEqual(bytes);
});

const FAULTS: Fault[] = [429, 503, "cut-before", "cut-body", "cut-after"];

test.each(FAULTS)(
	"one fault (%s) at any single request does no harm",
	async (fault) => {
		const scene = await pushScene();
		let total = Number.POSITIVE_INFINITY;
		for (let at = 0; at < total; at++) {
			const { fake, url } = await target();
			fake.fault = (_method, _path, nth) => (nth === at ? fault : undefined);
			await push(scene, url, { folder: await tempDir() });
			expectWhole(fake, scene);
			total = Math.min(total, fake.requests.length);
			await fake.stop();
			targets.pop();
		}
		expect(total).toBeGreaterThan(40);
	},
	120_000,
);

test.each([true, false])(
	"cut off for good at any request, then called again (uploads resumable: %s)",
	async (resumable) => {
		const scene = await pushScene();
		for (let at = 0; ; at += 3) {
			const { fake, url } = await target();
			const folder = await tempDir();
			fake.resumable = resumable;
			fake.fault = (_method, _path, nth) => (nth >= at ? (at % 2 ? "cut-before" : "cut-after") : undefined);
			const failed = await push(scene, url, { folder }).then(
				() => false,
				(error) => error,
			);
			if (failed === false) return expect(at).toBeGreaterThan(40);
			expect(failed).toMatchObject({ code: "E_REGISTRY_UNREACHABLE" });
			expect(incomplete.get(fake)).toEqual([]);
			const journal = JSON.parse(await readFile(join(folder, "target.json"), "utf8").catch(() => '{"step":"none"}'));
			expect(journal.step).not.toBe("done");
			fake.fault = () => undefined;
			await push(scene, url, { folder });
			expectWhole(fake, scene);
			await fake.stop();
			targets.pop();
		}
	},
	120_000,
);

test("an upload that was cut goes on where it was, and begins again where the target has forgotten it", async () => {
	for (const resumable of [true, false]) {
		const { fake, url } = await target();
		fake.resumable = resumable;
		const scene = await pushScene({ layer: 20_000 });
		let patches = 0;
		fake.fault = (method) => (method === "PATCH" && ++patches === 6 ? "cut-body" : undefined);
		await push(scene, url);
		expectWhole(fake, scene);
		const count = (pattern: RegExp) => fake.requests.filter((line) => pattern.test(line)).length;
		expect(count(/^GET .*\/blobs\/uploads\//)).toBe(1);
		const blobs = [...fake.repositories.values()].reduce((sum, repo) => sum + repo.blobs.size, 0);
		const begun = count(/^POST .*\/uploads\/$/) + count(/mount=/) - blobs;
		expect([resumable, begun]).toEqual([resumable, resumable ? 0 : 1]);
	}
});

test("an upload that always breaks at the same place ends", async () => {
	const { fake, url } = await target();
	fake.resumable = false;
	let patches = 0;
	fake.fault = (method) => (method === "PATCH" && ++patches % 3 === 0 ? "cut-body" : undefined);
	await expect(push(await pushScene({ layer: 20_000 }), url)).rejects.toMatchObject({ code: "E_REGISTRY_UNREACHABLE" });
	expect(patches).toBeLessThan(40);
});

test("a tag is put again until it answers with its digest, and while it does not the push has not ended", async () => {
	const scene = await pushScene();
	const { fake, url } = await target();
	let lost = 2;
	fake.onTag = (_repository, tag) => (tag === "latest" && lost-- > 0 ? "lost" : undefined);
	await push(scene, url);
	expectWhole(fake, scene);
	fake.onTag = (_repository, tag) => (tag === "latest" ? "lost" : undefined);
	fake.repository(ONE).tags.delete("latest");
	await expect(push(scene, url)).rejects.toMatchObject({ code: "E_REGISTRY_UNREACHABLE" });
	expect(await journalOf(scene)).toMatchObject({ step: "tags", tags: { [`${ONE}:latest`]: expect.any(String) } });
});

test("a target without mounts gets every blob sent", async () => {
	const { fake, url } = await target();
	fake.mounts = false;
	const scene = await pushScene();
	await push(scene, url);
	expectWhole(fake, scene);
});

test.each([401, 403, 404, 405, 501])("a target that refuses to mount (%i) gets every blob sent", async (status) => {
	const { fake, url } = await target();
	fake.fault = (_method, path) => (path.includes("mount=") ? status : undefined);
	const scene = await pushScene();
	await push(scene, url);
	expectWhole(fake, scene);
});

test("a target with the referrers API needs no list from us", async () => {
	const { fake, url } = await target();
	fake.referrersApi = true;
	await push(await pushScene(), url);
	expect([...fake.repository(ONE).tags.keys()].sort()).toEqual(["1.0", "latest"]);
});

test("others' entries in a list of referrers stay; a tag that is no such list is left alone", async () => {
	const { fake, url } = await target();
	fake.sparse = true;
	const scene = await pushScene();
	const repo = fake.repository(ONE);
	const tag = scene.subject.replace(":", "-");
	const foreign = { mediaType: MEDIA_TYPE.ociManifest, digest: `sha256:${"f".repeat(64)}`, size: 5, extra: "kept" };
	const put = (value: object) => {
		repo.manifests.set("sha256:list", { bytes: Buffer.from(JSON.stringify(value)), type: MEDIA_TYPE.ociIndex });
		repo.tags.set(tag, "sha256:list");
	};
	put({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [foreign] });
	await push(scene, url);
	const { manifests } = JSON.parse(repo.manifests.get(repo.tags.get(tag)!)!.bytes.toString());
	expect(manifests.map((m: { digest: string }) => m.digest)).toEqual([foreign.digest, scene.signature]);
	expect(manifests[0]).toEqual(foreign);

	put({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: foreign, layers: [] });
	await expect(push(scene, url, { folder: await tempDir() })).rejects.toMatchObject({ code: "E_TARGET_REFUSED" });
	expect(repo.tags.get(tag)).toBe("sha256:list");
});

test("an index that is not whole: asked about before anything is pushed", async () => {
	const scene = await pushScene({ sparse: true });
	const { fake, url } = await target();
	await expect(push(scene, url)).rejects.toMatchObject({
		code: "E_TARGET_SPARSE",
		message: expect.stringContaining("slipway.local/multi:2"),
	});
	expect(fake.requests.filter((line) => !line.startsWith("HEAD"))).toHaveLength(1); // the question
	expect([...fake.repositories.values()].flatMap((repo) => [...repo.blobs, ...repo.manifests])).toEqual([]);

	const tolerant = await target();
	tolerant.fake.sparse = true;
	await push(scene, tolerant.url);
	const repo = tolerant.fake.repository("mirror/slipway.local/multi");
	expect(repo.tags.get("2")).toBe(scene.names.at(-1)!.digest);
	expect(repo.manifests.size).toBe(2); // the index and its one child; the question is gone
});

test("with `child` the one image that is here gets the name", async () => {
	const scene = await pushScene({ sparse: true });
	const { fake, url } = await target();
	await push(scene, url, {}, { sparse: "child" });
	const repo = fake.repository("mirror/slipway.local/multi");
	const index = JSON.parse((await scene.blobs.read(scene.names.at(-1)!.digest, 0)).toString());
	expect([...repo.tags]).toEqual([["2", index.manifests[0].digest]]);
	expect([...repo.manifests.keys()]).toEqual([index.manifests[0].digest]);
});

test("bytes that turn out wrong on the way are told as that, and no tag is put", async () => {
	const scene = await pushScene();
	const { fake, url } = await target();
	const blobs: TargetPush["blobs"] = {
		read: scene.blobs.read,
		stream: async (...args) =>
			(async function* () {
				for await (const piece of await scene.blobs.stream(...args)) {
					yield piece.subarray(0, 1);
					throw new SlipwayError("E_DIGEST_MISMATCH", "The stored blob is damaged.");
				}
			})(),
	};
	await expect(push(scene, url, { blobs })).rejects.toMatchObject({ code: "E_DIGEST_MISMATCH" });
	expect([...fake.repositories.values()].flatMap((repo) => [...repo.tags, ...repo.blobs])).toEqual([]);
});

test("aborted at any request it ends at once with the signal's reason", async () => {
	const scene = await pushScene();
	for (const at of [0, 3, 17, 40]) {
		const { fake, url } = await target();
		const stop = new AbortController();
		fake.fault = (_method, _path, nth) => {
			if (nth === at) stop.abort(new Error("stopping"));
			return nth >= at ? 503 : undefined;
		};
		await expect(push(scene, url, { signal: stop.signal, folder: await tempDir() })).rejects.toThrow("stopping");
	}
});
